// @ts-check
/** The box one writes in: Enter sends, Shift+Enter breaks the line, the limit shows when it is near. */
import { byId, notice } from "./dom.js";

const LIMIT = 4000;
const NEAR = 3500;

/** @typedef {import("./client/types.js").Message} Message */
/** @typedef {import("./room-view.js").RoomView} RoomView */

/** @param {RoomView} view @returns {{ edit: (message: Message) => void, reset: () => void }} */
export function startComposer(view) {
  const box = byId("compose");
  /** @type {Message|null} */
  let editing = null;

  const fit = () => {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
    // The service counts characters as code points, so an emoji is not two.
    const length = Array.from(box.value).length;
    byId("count").textContent = length > NEAR ? `${length} of ${LIMIT} characters` : "";
    byId("composer").classList.toggle("over", length > LIMIT);
    return length <= LIMIT;
  };

  /** @param {Message|null} message */
  const edit = (message) => {
    editing = message;
    byId("editing").hidden = message === null;
    box.value = message?.content ?? "";
    fit();
    box.focus();
  };

  const send = () => {
    const { room } = view;
    const text = box.value.trim();
    if (room === null || text === "" || !fit()) return;
    if (editing !== null) {
      if (text !== editing.content) room.edit(editing.id, text).catch(notice);
      return edit(null);
    }
    void room.send(text);
    box.value = "";
    fit();
    view.wrote();
  };

  byId("composer").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    send();
    box.focus();
  });
  byId("stop-editing").addEventListener("click", () => edit(null));
  box.addEventListener("input", () => {
    fit();
    if (box.value.trim() !== "" && editing === null) view.room?.sendTyping();
  });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    // Enter that ends an input method's composition is not meant for us.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && editing !== null) {
      edit(null);
    } else if (event.key === "ArrowUp" && box.value === "") {
      const own = view.ownLast();
      if (own === undefined) return;
      event.preventDefault();
      edit(own);
    }
  });
  return { edit, reset: () => edit(null) };
}
