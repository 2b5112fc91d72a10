// @ts-check
/** The list of the caller's rooms, newest first, with what is unread. */
import { avatar, byId, el, perFrame, reconcile } from "./dom.js";
import { briefly } from "./format.js";
import { nameOf, titleOf } from "./people.js";

/** @typedef {import("./client/types.js").RoomInfo} RoomInfo */

/**
 * @param {import("./client/tidings.js").Chat} chat
 * @param {{ me: string, current: () => string|null, open: (roomId: string) => void }} options
 */
export function startRoomsView(chat, { me, current, open }) {
  const render = perFrame(() => {
    const { rooms, unreadCount } = chat.rooms.getSnapshot();
    const shown = current();
    reconcile(byId("rooms"), rooms.map((room) => row(room, room.id === shown, me, open)));
    document.title = unreadCount > 0 ? `(${unreadCount}) Tidings` : "Tidings";
    byId("menu-badge").hidden = unreadCount === 0;
    byId("menu-badge").textContent = String(unreadCount);
  });
  chat.rooms.subscribe(render);
  render();
  return render;
}

/** @param {RoomInfo} room @param {boolean} isCurrent @param {string} me @param {(id: string) => void} open */
function row(room, isCurrent, me, open) {
  const title = titleOf(room, me);
  const other = room.type === "DIRECT" ? (room.members ?? []).find(({ userId }) => userId !== me) : undefined;
  const preview = previewOf(room, me);
  const when = room.lastMessageAt === null ? "" : briefly(room.lastMessageAt);
  const unread = room.unreadCount > 0 ? String(Math.min(room.unreadCount, 999)) : "";
  const make = () =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: unread ? "room-row unread" : "room-row", "aria-current": isCurrent ? "true" : null, onclick: () => open(room.id) },
        other ? avatar(other.userId, title) : el("span", { class: "avatar sign", "aria-hidden": "true" }, room.type === "PUBLIC" ? "#" : "◦◦"),
        el("span", { class: "room-row-line" }, el("bdi", { class: "room-row-title" }, title), el("time", {}, when)),
        el(
          "span",
          { class: "room-row-line" },
          el("bdi", { class: "room-row-preview" }, preview),
          unread ? el("span", { class: "badge" }, unread, el("span", { class: "visually-hidden" }, " unread")) : null,
        ),
      ),
    );
  return { key: room.id, state: JSON.stringify([title, preview, when, unread, isCurrent]), make };
}

/** Only while it is true: news of a room that is not open come as numbers, without the text. @param {RoomInfo} room @param {string} me */
function previewOf({ lastMessage, unreadCount, type }, me) {
  if (!lastMessage) return unreadCount > 0 ? "New messages" : { DIRECT: "Direct chat", GROUP: "Group", PUBLIC: "Public room" }[type];
  if (lastMessage.deletedAt) return "Message deleted";
  if (lastMessage.contentType === "SYSTEM") return lastMessage.content ?? "";
  const by = lastMessage.senderId === me ? "You" : (lastMessage.senderName ?? nameOf(lastMessage.senderId));
  return type === "DIRECT" && by !== "You" ? (lastMessage.content ?? "") : `${by}: ${lastMessage.content}`;
}
