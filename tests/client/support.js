/**
 * What the client's tests put in place of the world: a clock that moves when told, sockets and requests
 * that answer when told, and a service's log small enough to be judged by eye.
 */
import { connect } from "../../client/tidings.js";

export class FakeClock {
  #now = 1_800_000_000_000;
  #timers = new Map();
  #nextId = 1;

  now = () => this.#now;

  setTimeout = (run, ms) => {
    const id = this.#nextId++;
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), id, run });
    return id;
  };

  clearTimeout = (id) => void this.#timers.delete(id);

  /** Moves on, running what falls due in order, and lets promises settle after each. */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers.values()].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (due === undefined) break;
      this.#timers.delete(due.id);
      this.#now = Math.max(this.#now, due.at);
      due.run();
      await settle();
    }
    this.#now = end;
  }
}

/** Lets every promise that can go on go on. */
export async function settle() {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((done) => setImmediate(done));
}

export class FakeSocket {
  sent = [];
  closedWith = null;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith = code;
  }

  /** The service says this. */
  async receive(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    await settle();
  }

  /** It breaks, or the service closes. */
  async drop(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
    await settle();
  }

  all(type) {
    return this.sent.filter((frame) => frame.type === type);
  }

  last(type) {
    return this.all(type).at(-1);
  }
}

export class FakeVisibility {
  isHidden = false;
  listeners = new Set();
  hidden = () => this.isHidden;
  subscribe = (listener) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  async show() {
    this.isHidden = false;
    for (const listener of this.listeners) listener();
    await settle();
  }
}

export const ME = { id: "me", name: "Me", avatarUrl: null };
export const WELCOME = { type: "welcome", session: { user: ME }, history: "h1", heartbeatMs: 25_000, limits: {} };

/** A message as the service would tell it. */
export function message(seq, { rev = seq, id = `m${seq}`, content = `text ${seq}`, ...more } = {}) {
  const at = new Date(1_800_000_000_000 + seq * 1000).toISOString();
  return {
    id,
    roomId: "r",
    seq,
    rev,
    senderId: "you",
    senderName: "You",
    content,
    contentType: "TEXT",
    reactions: [],
    createdAt: at,
    editedAt: null,
    deletedAt: null,
    ...more,
  };
}

/** One room's log behind the HTTP calls. Every request is kept; `held` ones wait for `release()`. */
export class FakeService {
  history = "h1";
  requests = [];
  rooms = new Map();
  /** @type {((request: object) => object|undefined)|null} answers before the log does */
  before = null;
  down = false;
  /** With a clock, `?wait=` is honoured: an answer without news is held until there is some. */
  clock = null;
  #waiting = new Set();
  #gates = [];
  holding = false;
  mostMetaInFlight = 0;
  #metaInFlight = 0;

  room(id = "r") {
    if (!this.rooms.has(id)) this.rooms.set(id, { messages: [], rev: 0, lastReadSeq: 0 });
    return this.rooms.get(id);
  }

  /** Adds `count` new messages. */
  write(count = 1, id = "r", more = {}) {
    const room = this.room(id);
    for (let n = 0; n < count; n += 1) {
      room.rev += 1;
      const seq = lastSeqOf(room) + 1;
      room.messages.push(message(seq, { rev: room.rev, roomId: id, id: `${id}-m${seq}`, ...more }));
    }
    for (const open of this.#waiting) open();
    return room.messages.at(-1);
  }

  /** Changes a message in place of adding one. */
  edit(seq, content, id = "r") {
    const room = this.room(id);
    room.rev += 1;
    room.messages[seq - 1] = { ...room.messages[seq - 1], content, rev: room.rev, editedAt: "2027-01-15T08:00:00Z" };
    return room.messages[seq - 1];
  }

  /** Keeps nothing before this message any more; returns the frame that tells it. */
  trim(oldestSeq, id = "r") {
    const room = this.room(id);
    const gone = room.messages.filter(({ seq }) => seq < oldestSeq);
    room.messages = room.messages.filter(({ seq }) => seq >= oldestSeq);
    room.rev += 1;
    Object.assign(room, { oldestSeq, expiredRev: Math.max(...gone.map(({ rev }) => rev)), emptyAt: oldestSeq - 1 });
    for (const open of this.#waiting) open();
    return { type: "messages", roomId: id, messages: [], rev: room.rev, oldestSeq };
  }

  /** Answers what it holds as things stand. */
  letGo() {
    for (const open of this.#waiting) open();
  }

  hold() {
    this.holding = true;
  }

  async release() {
    this.holding = false;
    for (const open of this.#gates.splice(0)) open();
    await settle();
  }

  matching(method, pattern) {
    return this.requests.filter((request) => request.method === method && pattern.test(request.path));
  }

  get metas() {
    return this.matching("GET", /\/meta/);
  }

  get pages() {
    return this.matching("GET", /\/messages/);
  }

  fetch = async (input, { method, headers, body, signal }) => {
    const url = new URL(input);
    const request = { method, path: url.pathname + url.search, url, headers, body: body && JSON.parse(body) };
    this.requests.push(request);
    const isMeta = url.pathname === "/api/chat/meta";
    // What is answered was read when it was asked, however late it arrives.
    let answered = this.down ? {} : (this.before?.(request) ?? this.#answer(request));
    if (isMeta) this.mostMetaInFlight = Math.max(this.mostMetaInFlight, (this.#metaInFlight += 1));
    try {
      if (answered.status === 304 && this.clock !== null && url.searchParams.has("wait")) {
        await this.#news(Number(url.searchParams.get("wait")), signal);
        answered = this.#answer(request);
      }
      const { status = 200, body: answer = null, headers: more = {} } = answered;
      if (this.holding) {
        await new Promise((open, refuse) => {
          this.#gates.push(open);
          signal.addEventListener("abort", () => refuse(new Error("aborted")));
        });
      }
      if (this.down) throw new TypeError("fetch failed");
      const text = answer === null ? "" : JSON.stringify(answer);
      return { status, headers: new Headers(more), text: async () => text };
    } finally {
      if (isMeta) this.#metaInFlight -= 1;
    }
  };

  /** Until something is written, so many seconds have passed, or nobody waits any more. */
  #news(seconds, signal) {
    return new Promise((resolve, reject) => {
      const open = () => {
        this.clock.clearTimeout(timer);
        this.#waiting.delete(open);
        if (signal.aborted) reject(new Error("aborted"));
        else resolve();
      };
      const timer = this.clock.setTimeout(open, seconds * 1000);
      this.#waiting.add(open);
      signal.addEventListener("abort", open);
    });
  }

  #answer({ method, url, headers, body }) {
    const path = url.pathname;
    if (path === "/api/session") return { body: { user: ME } };
    if (path === "/api/chat/meta") return this.#meta(url, headers);
    if (path === "/api/chat/rooms" && method === "GET") return { body: { rooms: [...this.rooms].map(([id, room]) => this.#info(id, room)), cursor: null } };
    const [, id, rest] = path.match(/^\/api\/chat\/rooms\/([^/]+)\/(.*)$/) ?? [];
    const room = this.rooms.get(id);
    if (room === undefined) return problem(404, "room_not_found");
    if (rest === "presence") return { body: { online: ["you"], count: 1 } };
    if (rest === "read") return { body: { lastReadSeq: (room.lastReadSeq = body.seq), unreadCount: 0 } };
    if (rest === "messages" && method === "POST") return this.#post(room, id, body);
    if (rest === "messages") return this.#page(room, url.searchParams);
    return { status: 204 };
  }

  #info(id, room) {
    const lastSeq = lastSeqOf(room);
    return { id, oldestSeq: room.oldestSeq, type: "GROUP", title: id, createdAt: "2027-01-01T00:00:00Z", lastMessageAt: null, lastSeq, rev: room.rev, lastMessage: null, memberCount: 2, members: [], me: { role: "MEMBER", lastReadSeq: room.lastReadSeq }, unreadCount: lastSeq - room.lastReadSeq };
  }

  #meta(url, headers) {
    const asked = url.searchParams.get("rooms")?.split(",") ?? [...this.rooms.keys()];
    const known = asked.filter((id) => this.rooms.has(id));
    const rooms = known.map((roomId) => {
      const { rev, lastReadSeq, oldestSeq } = this.rooms.get(roomId);
      return { roomId, rev, lastSeq: lastSeqOf(this.rooms.get(roomId)), lastReadSeq, lastMessageAt: null, oldestSeq };
    });
    const etag = `"${this.history}.${rooms.map(({ roomId, rev }) => roomId + rev).join()}"`;
    if (headers["if-none-match"] === etag) return { status: 304, headers: { etag } };
    return { body: { rooms, gone: asked.filter((id) => !this.rooms.has(id)), history: this.history }, headers: { etag } };
  }

  #post(room, id, body) {
    const known = room.messages.find((held) => held.id === body.id);
    if (known) return { body: { message: known, messageId: known.id, history: this.history } };
    const made = this.write(1, id, { id: body.id, content: body.content, senderId: ME.id });
    return { status: 201, body: { message: made, messageId: made.id, history: this.history } };
  }

  #page({ messages, rev, oldestSeq, expiredRev }, query) {
    const limit = Number(query.get("limit"));
    if (query.has("since")) {
      if (query.get("history") !== this.history) return problem(409, "history_changed");
      if (Number(query.get("since")) < expiredRev) return problem(410, "position_expired");
      const changed = messages.filter((held) => held.rev > Number(query.get("since"))).sort((a, b) => a.rev - b.rev);
      const page = changed.slice(0, limit);
      const hasMore = changed.length > limit;
      return { body: { messages: page, hasMore, rev: hasMore ? page.at(-1).rev : rev, history: this.history, oldestSeq } };
    }
    const pool = query.has("before") ? messages.filter(({ seq }) => seq < Number(query.get("before"))) : messages;
    return { body: { messages: pool.slice(-limit), hasMore: pool.length > limit, rev, history: this.history, oldestSeq } };
  }
}

const lastSeqOf = ({ messages, emptyAt }) => messages.at(-1)?.seq ?? emptyAt ?? 0;

export const problem = (status, code, headers = {}) => ({ status, headers, body: { code, detail: code } });

/** A JWT as far as the client looks into it. */
export function jwt(expiresAt, name = "t") {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ exp: Math.floor(expiresAt / 1000), name })}.x`;
}

/** A chat in a world under control. */
export function world(options = {}) {
  const clock = new FakeClock();
  const service = new FakeService();
  const visibility = new FakeVisibility();
  const sockets = [];
  let made = 0;
  class Opener extends FakeSocket {
    constructor(url, protocols) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const chat = connect({
    baseUrl: "http://chat.test",
    getToken: () => "token-1",
    WebSocket: Opener,
    fetch: service.fetch,
    clock,
    visibility,
    random: () => 1,
    uuid: () => `00000000-0000-4000-8000-${String((made += 1)).padStart(12, "0")}`,
    hold: false,
    ...options,
  });
  const status = () => chat.connection.getSnapshot().status;
  const stats = () => chat.stats.getSnapshot();
  return { chat, clock, service, visibility, sockets, status, stats, socket: () => sockets.at(-1) };
}

/** The service's side of a subscription, from its log. */
export async function subscribe(world, id = "r", { status } = {}) {
  const { service } = world;
  const frame = world.socket().all("subscribe").findLast(({ roomId }) => roomId === id);
  const { messages, rev, oldestSeq } = service.room(id);
  const changed = frame.since === undefined ? messages.slice(-frame.limit) : messages.filter((held) => held.rev > frame.since);
  const told = status ?? (frame.since === undefined || changed.length === 0 ? "live" : "recovered");
  await world.socket().receive({ type: "subscribed", id: frame.id, roomId: id, rev, lastSeq: lastSeqOf(service.room(id)), history: service.history, status: told, oldestSeq });
  const page = told === "reset" ? messages.slice(-50) : changed.sort((a, b) => a.rev - b.rev);
  if (page.length > 0) await world.socket().receive({ type: "messages", roomId: id, messages: page, rev, oldestSeq });
}

/** A live chat with the room `r` open and holding what the service has. */
export async function liveRoom(count = 3, options = {}) {
  const made = world(options);
  made.service.write(count);
  const room = made.chat.room("r");
  await settle();
  await made.socket().receive(WELCOME);
  await subscribe(made);
  return { ...made, room };
}

/** A polling chat with the room `r` open, its first poll done. */
export async function polledRoom(count = 3, options = {}) {
  const made = world({ socket: false, ...options });
  made.service.write(count);
  const room = made.chat.room("r");
  await settle();
  return { ...made, room };
}

export const seqs = (room) => room.getSnapshot().messages.map(({ seq }) => seq);
export const texts = (room) => room.getSnapshot().messages.map(({ content }) => content);
