// @ts-check
/** The dialogs: find a public room, create one, see who is in a room. One element, filled anew each time. */
import { avatar, byId, el, icon, notice } from "./dom.js";
import { plural } from "./format.js";
import { known, meet } from "./people.js";

/** @typedef {import("./client/tidings.js").Chat} Chat */

/** @param {string} title @param {...(Node|null)} content @returns {HTMLDialogElement} */
function show(title, ...content) {
  const dialog = byId("dialog");
  const close = el("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
  dialog.replaceChildren(
    el("header", {}, el("h2", { id: "dialog-title" }, title), close),
    ...content.filter((node) => node !== null),
  );
  if (!dialog.open) dialog.showModal();
  return dialog;
}

/** @param {Chat} chat @param {(roomId: string) => void} open */
export async function findRoom(chat, open) {
  try {
    const rooms = await chat.publicRooms();
    const mine = new Set(chat.rooms.getSnapshot().rooms.map(({ id }) => id));
    const rows = rooms.map((room) => {
      const enter = async () => {
        try {
          if (!mine.has(room.id)) await chat.join(room.id);
          dialog.close();
          open(room.id);
        } catch (error) {
          notice(error);
        }
      };
      return el(
        "li",
        {},
        el("span", { class: "avatar sign", "aria-hidden": "true" }, "#"),
        el("span", { class: "grow" }, el("bdi", {}, room.title ?? room.id), el("small", {}, plural(room.memberCount, "member", "members"))),
        el("button", { type: "button", class: mine.has(room.id) ? "quiet" : "primary", onclick: enter }, mine.has(room.id) ? "Open" : "Join"),
      );
    });
    const list = rows.length > 0 ? el("ul", { class: "list" }, ...rows) : el("p", { class: "hint" }, "There are no public rooms yet.");
    const dialog = show("Public rooms", list);
  } catch (error) {
    notice(error);
  }
}

/** @param {Chat} chat @param {string} me @param {(roomId: string) => void} open */
export function newRoom(chat, me, open) {
  const title = el("input", { id: "new-title", name: "title", maxlength: 100, required: true, dir: "auto" });
  const people = known()
    .filter(({ id }) => id !== me)
    .map(({ id, name }) =>
      el("label", { class: "choice" }, el("input", { type: "checkbox", name: "member", value: id }), avatar(id, name), el("bdi", {}, name)),
    );
  const form = el(
    "form",
    {},
    el("label", { for: "new-title" }, "Title"),
    title,
    el(
      "fieldset",
      {},
      el("legend", {}, "Who may come in"),
      el("label", { class: "choice" }, el("input", { type: "radio", name: "type", value: "PUBLIC", checked: true }), "Anyone: it can be found and joined"),
      el("label", { class: "choice" }, el("input", { type: "radio", name: "type", value: "GROUP" }), "Only those who are added"),
    ),
    people.length > 0 ? el("fieldset", { class: "tall" }, el("legend", {}, "Add people"), ...people) : null,
    el("button", { class: "primary", type: "submit" }, "Create room"),
  );
  const dialog = show("New room", form);
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const data = new FormData(form);
    const type = /** @type {"GROUP"|"PUBLIC"} */ (data.get("type"));
    const memberIds = data.getAll("member").map(String);
    try {
      const room = await chat.createRoom({ type, title: title.value.trim(), memberIds });
      dialog.close();
      open(room.id);
    } catch (error) {
      notice(error);
    }
  });
  title.focus();
}

/**
 * @param {Chat} chat
 * @param {import("./client/room.js").Room} room
 * @param {{ me: string, direct: (userId: string) => void }} options
 */
export async function showPeople(chat, room, { me, direct }) {
  try {
    const members = await chat.members(room.id);
    const online = new Set(room.getSnapshot().online);
    for (const { userId, name } of members) meet(userId, name);
    members.sort((a, b) => Number(online.has(b.userId)) - Number(online.has(a.userId)));
    const rows = members.map(({ userId, name, role }) => {
      const words = [userId === me ? "you" : null, role === "MEMBER" ? null : role.toLowerCase(), online.has(userId) ? "online" : null];
      const write = () => {
        dialog.close();
        direct(userId);
      };
      return el(
        "li",
        { class: online.has(userId) ? "online" : "" },
        avatar(userId, name ?? "?"),
        el("span", { class: "grow" }, el("bdi", {}, name ?? userId), el("small", {}, words.filter(Boolean).join(", "))),
        userId === me ? null : el("button", { type: "button", class: "quiet", onclick: write }, "Write"),
      );
    });
    const adding = chat.rooms.get(room.id)?.type === "DIRECT" ? null : addPeople(chat, room.id, members);
    const dialog = show("People here", el("ul", { class: "list" }, ...rows), adding);
  } catch (error) {
    notice(error);
  }
}

/** @param {Chat} chat @param {string} roomId @param {import("./client/types.js").Member[]} members */
function addPeople(chat, roomId, members) {
  const inside = new Set(members.map(({ userId }) => userId));
  const others = known().filter(({ id }) => !inside.has(id));
  if (others.length === 0) return null;
  const choice = el("select", { "aria-label": "Person to add" }, ...others.map(({ id, name }) => el("option", { value: id }, name)));
  const add = async () => {
    try {
      await chat.addMember(roomId, choice.value);
      byId("dialog").close();
    } catch (error) {
      notice(error);
    }
  };
  return el("p", { class: "add" }, choice, el("button", { type: "button", class: "primary", onclick: add }, "Add"));
}
