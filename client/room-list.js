// @ts-check
/**
 * The caller's rooms, newest first, with what is unread: loaded once, kept true by meta.
 * It may not hold messages; a preview is shown only while it is the room's newest message.
 */
import { Observable } from "./observable.js";

const PAGE = 100;
/** As many as one meta answer covers. */
const MOST = 500;

/** @typedef {import("./types.js").RoomInfo} RoomInfo */
/** @typedef {import("./types.js").Meta} Meta */
/** @typedef {import("./types.js").RoomListSnapshot} RoomListSnapshot */

/** @extends {Observable<RoomListSnapshot>} */
export class RoomList extends Observable {
  /** @type {Map<string, RoomInfo>} */
  #rooms = new Map();
  #loaded = false;
  /** @type {Promise<void>|null} */
  #loading = null;
  /** @type {Set<string>} */
  #asked = new Set();
  /** What was heard before the list is here: the answer under way may be older. @type {Map<string, Meta>} */
  #early = new Map();

  /** @param {import("./http.js").Http} http */
  constructor(http) {
    super();
    this.http = http;
  }

  /** @protected @returns {RoomListSnapshot} */
  build() {
    const rooms = [...this.#rooms.values()].sort((a, b) => (newest(a) < newest(b) ? 1 : -1));
    return { rooms, loaded: this.#loaded, unreadCount: rooms.reduce((sum, room) => sum + room.unreadCount, 0) };
  }

  get wanted() {
    return this.#loaded || this.#loading !== null;
  }

  /** Loads, or loads again. @returns {Promise<void>} */
  load() {
    this.#loading ??= this.#load().finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** @param {string} id */
  get(id) {
    return this.#rooms.get(id);
  }

  /** @param {RoomInfo} room */
  put(room) {
    const held = this.#rooms.get(room.id);
    this.#rooms.set(room.id, held === undefined || held.rev <= room.rev ? room : { ...room, ...counts(held) });
    this.changed();
  }

  /** @param {string} id */
  drop(id) {
    if (this.#rooms.delete(id)) this.changed();
  }

  /** Asks for a room anew: what it is set to is announced to nobody, nor that it was joined elsewhere. @param {string} id */
  async refresh(id) {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    try {
      const { body } = await this.http.request("GET", `/api/chat/rooms/${encodeURIComponent(id)}`);
      this.put(body.room ?? body);
    } catch {
      // The next meta names it again.
    } finally {
      this.#asked.delete(id);
    }
  }

  /**
   * @param {Meta[]} metas
   * @param {{ all: boolean }} options  `all`: what is not named is not the caller's any more
   */
  takeMetas(metas, { all }) {
    if (!this.#loaded) for (const meta of metas) this.#early.set(meta.roomId, meta);
    if (!this.#loaded) return;
    for (const meta of metas) this.#takeMeta(meta);
    if (!all || metas.length >= MOST) return;
    const named = new Set(metas.map(({ roomId }) => roomId));
    for (const id of [...this.#rooms.keys()]) if (!named.has(id)) this.drop(id);
  }

  /** An open room knows more than meta tells. @param {string} id @param {import("./types.js").RoomSnapshot} open */
  follow(id, { messages, rev, lastSeq, lastReadSeq, complete }) {
    const room = this.#rooms.get(id);
    if (room === undefined) return;
    const newest = messages.at(-1);
    const preview = complete && newest?.seq === lastSeq && (rev ?? 0) >= room.rev ? newest : room.lastMessage;
    const read = lastReadSeq !== null && lastReadSeq > (room.me?.lastReadSeq ?? 0);
    if (preview === room.lastMessage && !read) return;
    this.#update(room, { lastSeq, rev: rev ?? undefined, lastReadSeq: lastReadSeq ?? undefined, lastMessageAt: newest?.createdAt }, preview);
  }

  /** @param {Meta} meta */
  #takeMeta(meta) {
    const room = this.#rooms.get(meta.roomId);
    if (room !== undefined) this.#update(room, meta);
    else void this.refresh(meta.roomId);
  }

  /** @param {RoomInfo} room @param {Partial<Meta>} meta @param {RoomInfo["lastMessage"]} [preview] */
  #update(room, meta, preview) {
    const lastSeq = Math.max(room.lastSeq, meta.lastSeq ?? 0);
    const lastReadSeq = Math.max(room.me?.lastReadSeq ?? 0, meta.lastReadSeq ?? 0);
    const oldestSeq = Math.max(room.oldestSeq ?? 1, meta.oldestSeq ?? 1);
    const ahead = meta.rev !== undefined && meta.rev > room.rev;
    this.#rooms.set(room.id, {
      ...room,
      lastSeq,
      rev: ahead ? /** @type {number} */ (meta.rev) : room.rev,
      lastMessageAt: ahead ? (meta.lastMessageAt ?? room.lastMessageAt) : room.lastMessageAt,
      // An edit may have changed the newest message too, so any news outdates the preview.
      lastMessage: preview ?? (ahead ? null : room.lastMessage),
      me: { role: room.me?.role ?? "MEMBER", lastReadSeq },
      oldestSeq,
      unreadCount: Math.max(0, lastSeq - Math.max(lastReadSeq, oldestSeq - 1)),
    });
    this.changed();
  }

  async #load() {
    /** @type {RoomInfo[]} */
    const rooms = [];
    let cursor = null;
    do {
      const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await this.http.request("GET", `/api/chat/rooms?limit=${PAGE}${after}`);
      rooms.push(...body.rooms);
      cursor = body.cursor ?? null;
    } while (cursor !== null && rooms.length < MOST);
    const listed = new Set(rooms.map(({ id }) => id));
    for (const id of this.#rooms.keys()) if (!listed.has(id)) this.#rooms.delete(id);
    this.#loaded = true;
    for (const room of rooms) this.put(room);
    for (const meta of this.#early.values()) {
      const room = this.#rooms.get(meta.roomId);
      if (room !== undefined) this.#update(room, meta);
    }
    this.#early.clear();
    this.changed();
  }
}

/** @param {RoomInfo} room */
const newest = (room) => room.lastMessageAt ?? room.createdAt;

/** @param {RoomInfo} room */
const counts = ({ lastSeq, rev, oldestSeq, lastMessageAt, lastMessage, unreadCount, me }) => ({
  lastSeq,
  rev,
  oldestSeq,
  lastMessageAt,
  lastMessage,
  unreadCount,
  me,
});
