// @ts-check
/**
 * The Tidings client: `connect({ baseUrl, getToken })` gives a chat; `chat.room(id)` opens a room in it.
 * It promises each message once and in its place, over a WebSocket or, while there is none, by polling.
 * Here the parts are put together; nothing runs at import, so a server may import it too.
 */
import { Connection } from "./connection.js";
import { ChatError } from "./error.js";
import { environment } from "./environment.js";
import { Figures } from "./figures.js";
import { Http } from "./http.js";
import { Kept } from "./outbox-store.js";
import { Poller } from "./poller.js";
import { Room } from "./room.js";
import { RoomList } from "./room-list.js";
import { Tabs } from "./tabs.js";
import { subject, Token } from "./token.js";

export { ChatError, Room, RoomList };

/** @typedef {import("./types.js").RoomInfo} RoomInfo */
/** @typedef {import("./types.js").Member} Member */
/** @typedef {import("./types.js").Session} Session */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Reaction} Reaction */
/** @typedef {import("./types.js").MemberRole} MemberRole */
/** @typedef {import("./types.js").Meta} Meta */
/** @typedef {import("./types.js").User} User */
/** @typedef {import("./types.js").Partner} Partner */
/** @typedef {import("./types.js").QuotaUse} QuotaUse */
/** @typedef {import("./types.js").ErrorDetails} ErrorDetails */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Stats} Stats */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").ConnectionSnapshot} ConnectionSnapshot */
/** @typedef {import("./types.js").RoomSnapshot} RoomSnapshot */
/** @typedef {import("./types.js").RoomListSnapshot} RoomListSnapshot */
/** @typedef {import("./types.js").GetToken} GetToken */
/** @typedef {import("./types.js").Environment} Environment */
/** @typedef {import("./types.js").Clock} Clock */
/** @typedef {import("./types.js").Visibility} Visibility */

/**
 * @typedef {object} ConnectOptions
 * @property {string} [baseUrl]  where the service is, with its base path; absent: this page's origin
 * @property {string} [wsUrl]    absent: made of `baseUrl`
 * @property {import("./types.js").GetToken} [getToken]  absent: the session cookie speaks for the caller
 * @property {boolean} [socket]  false: poll only, until `useSocket(true)`
 * @property {boolean} [tabs]    false: a socket of its own for each tab, where one for all would do
 * @property {boolean} [hold]    false: no long polls, for a front end that pays for every second of a request
 */

/** @param {ConnectOptions & Partial<import("./types.js").Environment>} options */
export function connect(options = {}) {
  return new Chat(options);
}

export class Chat {
  /** @type {Map<string, Room>} */
  #open = new Map();
  /** @type {Session|null} */
  #session = null;
  /** @type {Kept|null} */
  #kept = null;
  /** @type {Tabs|null} */
  #tabs = null;
  #figures = new Figures();
  /** Who has a room open: this, for the application, and what `hold` gave. @type {WeakMap<Room, Set<object>>} */
  #holders = new WeakMap();
  #connection;
  #http;
  #link;

  /** @param {ConnectOptions & Partial<import("./types.js").Environment>} options */
  constructor(options) {
    const env = environment(options);
    const baseUrl = options.baseUrl ?? "";
    const token = new Token(options.getToken, env.clock);
    const { stats } = this.#figures;
    this.#http = new Http({ baseUrl, env, token, stats, onRefused: ({ code }) => this.#connection.close(code) });
    if ((options.tabs ?? true) && env.WebSocket && env.locks && env.openChannel) {
      const whose = async (/** @type {string|null} */ held) => (held && subject(held)) || (await this.session()).user.id;
      this.#tabs = new Tabs({ env, whose, onLive: () => this.#connection.hasten() });
    }
    this.#connection = new Connection({
      url: options.wsUrl ?? socketUrl(this.#http.baseUrl),
      env: this.#tabs === null ? env : { ...env, WebSocket: this.#tabs.WebSocket },
      token,
      figures: this.#figures,
      hooks: {
        onLive: (welcome, goesOn) => this.#live(welcome, goesOn),
        onDown: () => this.#open.forEach((room) => room.detach()),
        onFrame: (frame) => this.#take(frame),
        onClosed: () => {
          this.#http.closed = true;
          this.#tabs?.leave();
          for (const room of this.#open.values()) room.outbox.close();
          this.#kept?.close();
        },
      },
    });
    if (env.store !== null) this.#kept = new Kept({ store: env.store, server: pageUrl(`${this.#http.baseUrl}/`).href, env });
    this.#link = this.#makeLink(env);
    /** The caller's rooms; call `rooms.load()` to begin. */
    this.rooms = new RoomList(this.#http);
    this.#connection.start(this.#makePoller(env, stats, options.hold ?? true), options.socket ?? true);
  }

  /** What the connection does: `subscribe(listener)`, `getSnapshot()`. */
  get connection() {
    const { subscribe, getSnapshot } = this.#connection;
    return { subscribe, getSnapshot };
  }

  /** What is counted, which changes with every frame: `subscribe(listener)`, `getSnapshot()`. */
  get stats() {
    const { subscribe, getSnapshot } = this.#figures;
    return { subscribe, getSnapshot };
  }

  /** Who the caller is, once that is known. @returns {string|null} */
  get userId() {
    return this.#session?.user.id ?? null;
  }

  /** Opens a room, or gives the one that is open. It stays open until its `close`. @param {string} id */
  room(id) {
    return this.#openFor(id, this);
  }

  /**
   * The same for one view among others: the room stays open until all have released it, and the application closed it, if
   * it had opened it.
   * @param {string} id @returns {{ room: Room, release: () => void }}
   */
  hold(id) {
    const holder = {};
    const room = this.#openFor(id, holder);
    return { room, release: () => this.#letGo(room, holder) };
  }

  /** Who the service says the caller is. @returns {Promise<Session>} */
  async session() {
    if (this.#session === null) this.#identify((await this.#http.request("GET", "/api/session")).body);
    return /** @type {Session} */ (this.#session);
  }

  /**
   * @param {{ type: "DIRECT"|"GROUP"|"PUBLIC", id?: string, key?: string, title?: string, memberIds?: string[], metadata?: any }} room
   * @returns {Promise<RoomInfo>}
   */
  async createRoom(room) {
    const { body } = await this.#http.request("POST", "/api/chat/rooms", { body: room });
    this.rooms.put(body.room);
    return body.room;
  }

  /** @returns {Promise<RoomInfo[]>} public rooms, newest first */
  async publicRooms() {
    return (await this.#http.request("GET", "/api/chat/rooms?type=PUBLIC&limit=100")).body.rooms;
  }

  /** Joins a public room. @param {string} roomId */
  async join(roomId) {
    const { user } = await this.session();
    await this.#http.request("PUT", memberPath(roomId, user.id));
    this.#open.get(roomId)?.rejoined();
    if (this.rooms.wanted) await this.rooms.load();
  }

  /** Leaves a room for good, and stops following it. @param {string} roomId */
  async leave(roomId) {
    const { user } = await this.session();
    await this.#http.request("DELETE", memberPath(roomId, user.id));
    this.#open.get(roomId)?.end();
    this.rooms.drop(roomId);
  }

  /** @param {string} roomId @returns {Promise<Member[]>} the first page of them */
  async members(roomId) {
    return (await this.#http.request("GET", `/api/chat/rooms/${encodeURIComponent(roomId)}/members?limit=100`)).body.members;
  }

  /** What is left of the room's daily quota; null: it has none. @param {string} roomId @returns {Promise<QuotaUse|null>} */
  async quota(roomId) {
    return (await this.#http.request("GET", `/api/chat/rooms/${encodeURIComponent(roomId)}/meta`)).body.quota ?? null;
  }

  /** @param {string} roomId @param {string} userId */
  async addMember(roomId, userId) {
    await this.#http.request("PUT", memberPath(roomId, userId));
  }

  /** Cuts the socket on purpose, or lets it come back: to see that polling carries on. @param {boolean} on */
  useSocket(on) {
    this.#connection.useSocket(on);
    if (!on) this.#tabs?.leave();
  }

  /** The user signs out: what they have not sent is forgotten on this device too, and it is over. */
  async logOut() {
    const cleared = this.#kept?.clear();
    this.close();
    await cleared;
  }

  /** Ends it for good. What is not sent yet goes out when the same user comes again. */
  close() {
    for (const room of [...this.#open.values()]) room.end();
    this.#connection.close("closed by the application");
  }

  /** @param {string} id @param {object} holder */
  #openFor(id, holder) {
    const room = this.#open.get(id) ?? this.#openRoom(id);
    this.#holders.get(room)?.add(holder);
    return room;
  }

  /** @param {Room} room @param {object} holder */
  #letGo(room, holder) {
    const holders = this.#holders.get(room);
    holders?.delete(holder);
    if (holders?.size === 0) room.end();
  }

  /** @param {string} id */
  #openRoom(id) {
    /** @type {Room} */
    const room = new Room(id, this.#link, { onClose: () => this.#letGo(room, this), onEnd: () => this.#open.delete(id) });
    this.#open.set(id, room);
    this.#holders.set(room, new Set());
    const listed = this.rooms.get(id);
    if (listed?.me) {
      const { lastSeq, rev, lastMessageAt } = listed;
      room.takeMeta({ roomId: id, lastSeq, rev, lastMessageAt, lastReadSeq: listed.me.lastReadSeq });
    }
    room.subscribe(() => {
      this.rooms.follow(id, room.getSnapshot());
    });
    if (this.#connection.isLive) room.attach();
    else this.#connection.poller?.now();
    return room;
  }

  /** @param {any} welcome @param {boolean} goesOn @returns {Promise<unknown>} */
  #live(welcome, goesOn) {
    if (welcome.session) this.#identify(welcome.session);
    const watching = this.#connection.request({ type: "watch" });
    const attached = [...this.#open.values()].map((room) => room.attach(goesOn));
    // Rooms lost while nobody watched are in no frame.
    if (this.rooms.wanted && !goesOn) this.rooms.load().catch(() => {});
    return Promise.allSettled([watching, ...attached]);
  }

  /** @param {Session} session */
  #identify(session) {
    this.#session = session;
    this.#kept?.identify(session.user.id);
  }

  /** @param {any} frame */
  #take(frame) {
    if (frame.type !== "meta") return this.#open.get(frame.roomId)?.take(frame);
    for (const meta of frame.rooms) this.#open.get(meta.roomId)?.takeMeta(meta);
    this.rooms.takeMetas(frame.rooms, { all: false });
    this.#takeGone(frame.gone ?? []);
  }

  /** @param {string[]} ids */
  #takeGone(ids) {
    for (const id of ids) {
      this.#open.get(id)?.takeGone();
      this.rooms.drop(id);
    }
  }

  /**
   * @param {import("./types.js").Environment} env
   * @returns {import("./types.js").Link}
   */
  #makeLink(env) {
    const connection = this.#connection;
    return {
      env,
      http: this.#http,
      kept: this.#kept,
      isLive: () => connection.isLive,
      way: () => connection.way,
      request: (frame, onReply) => connection.request(frame, onReply),
      send: (frame) => connection.send(frame),
      myId: () => this.#session?.user.id ?? null,
      perform: async (frame, method, path, body) => {
        try {
          if (connection.isLive) return await connection.request(frame);
        } catch (error) {
          if (!(error instanceof ChatError) || error.code !== "disconnected") throw error;
        }
        return (await this.#http.request(method, path, { body })).body;
      },
    };
  }

  /** @param {import("./types.js").Environment} env @param {import("./types.js").Stats} stats @param {boolean} hold */
  #makePoller(env, stats, hold) {
    /** @type {import("./poller.js").Polled} */
    const polled = {
      roomIds: () => (this.rooms.wanted || this.#open.size === 0 ? null : [...this.#open.keys()]),
      take: (answer, asked) => {
        if (answer !== null) this.#takeAnswer(answer, asked === null);
        this.#figures.counted();
        return [...this.#open.values()].filter((room) => room.behind);
      },
      onAnswer: () => {
        const isBack = this.#connection.getSnapshot().status !== "polling";
        this.#connection.onPolled();
        for (const room of this.#open.values()) room.polled(isBack);
        if (this.#session === null) this.session().catch(() => {});
      },
      onFailure: (error) => this.#connection.onPollFailed(error),
    };
    return new Poller({ env, http: this.#http, stats, hold, polled });
  }

  /** @param {any} answer @param {boolean} all */
  #takeAnswer({ rooms, gone, history }, all) {
    for (const meta of rooms) this.#open.get(meta.roomId)?.takeMeta(meta, meta.history ?? history);
    this.rooms.takeMetas(rooms, { all });
    this.#takeGone(gone ?? []);
  }
}

/** @param {string} url */
const pageUrl = (url) => new URL(url, typeof location === "undefined" ? undefined : location.href);

/** @param {string} baseUrl */
function socketUrl(baseUrl) {
  const url = pageUrl(`${baseUrl}/api/chat/ws`);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** @param {string} roomId @param {string} userId */
const memberPath = (roomId, userId) =>
  `/api/chat/rooms/${encodeURIComponent(roomId)}/members/${encodeURIComponent(userId)}`;
