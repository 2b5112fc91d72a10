// @ts-check
/** Everyone seen so far, so that an id can be shown as a name. Learned from messages and members. */

/** @type {Map<string, string>} */
const names = new Map();

/** @param {string|null|undefined} id @param {string|null|undefined} name */
export function meet(id, name) {
  if (id && name) names.set(id, name);
}

/** @param {string|null} id */
export const nameOf = (id) => (id === null ? undefined : names.get(id)) ?? "Someone";

export const known = () => [...names].map(([id, name]) => ({ id, name }));

/** What a room is called by this caller. @param {import("./client/types.js").RoomInfo} room @param {string} me */
export function titleOf(room, me) {
  if (room.title) return room.title;
  const others = (room.members ?? []).filter(({ userId }) => userId !== me).map(({ userId, name }) => name ?? nameOf(userId));
  if (others.length > 0) return others.slice(0, 3).join(", ");
  return room.type === "DIRECT" ? "Direct chat" : room.id;
}
