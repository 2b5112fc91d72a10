// @ts-check
/**
 * React: `<ChatProvider options={…}>` around an application, `useRoom(roomId)`, `useConnection()` and `useStats()` inside it.
 * A room is open while a component shows it or something is done in it, and a few seconds longer, whatever mounts and
 * unmounts meanwhile (StrictMode does so on purpose); one that the application itself has opened stays open until it
 * closes it. Rendering opens nothing, so it may happen on a server.
 */
"use client";
import { createContext, createElement, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Figures } from "./figures.js";
import { connect } from "./tidings.js";

/** @typedef {import("./tidings.js").Chat} Chat */
/** @typedef {import("./room.js").Room} Room */
/** @typedef {import("./types.js").RoomSnapshot} RoomSnapshot */
/** @typedef {import("./types.js").ConnectionSnapshot} ConnectionSnapshot */
/** @typedef {Partial<import("./tidings.js").ConnectOptions & import("./types.js").Environment>} ChatOptions */

/** How long a room stays open that nobody shows: who comes back to it finds it as it was. */
const LINGER_MS = 5000;

/** @type {RoomSnapshot} what is shown of a room before anything is known of it */
const UNKNOWN_ROOM = Object.freeze({
  messages: [],
  pending: [],
  rev: null,
  revSince: null,
  lastSeq: 0,
  lastReadSeq: null,
  unreadCount: 0,
  complete: false,
  hasMore: false,
  typing: [],
  online: [],
  onlineCount: 0,
  gone: false,
});

/** @type {ConnectionSnapshot} */
const UNKNOWN_CONNECTION = Object.freeze({ status: "connecting", reason: null });

/** @type {import("./types.js").Stats} */
const UNKNOWN_STATS = Object.freeze(new Figures().getSnapshot());

/**
 * @typedef {object} Around        what a provider gives to the components in it
 * @property {Chat|null} chat      null: it has not begun
 * @property {Promise<Chat>} soon  effects of the components in it run before its own, which makes the chat
 */

/** @type {import("react").Context<Around|undefined>} undefined: there is no provider */
export const ChatContext = createContext(/** @type {Around|undefined} */ (undefined));

/**
 * Gives the components below it a chat: one of your own making (`chat`), which you also close, or one that it makes
 * when it is mounted (`options`, as for `connect`) and closes when it is gone. Options count when it is mounted; give the
 * provider another `key` for another user.
 * @param {{ chat?: Chat, options?: ChatOptions, children?: import("react").ReactNode }} props
 */
export function ChatProvider({ chat, options, children }) {
  const [made, setMade] = useState(/** @type {Chat|null} */ (null));
  const [{ soon, begin }] = useState(beginning);
  /** @type {import("react").RefObject<{ chat: Chat, timer: any }|null>} */
  const held = useRef(null);
  useEffect(() => {
    if (chat !== undefined) return undefined;
    // Unmounted and mounted again, as StrictMode does, it is the same chat: a second one would be a second socket.
    if (held.current === null) held.current = { chat: connect(options), timer: undefined };
    else clearTimeout(held.current.timer);
    const own = held.current;
    setMade(own.chat);
    begin(own.chat);
    return () => {
      own.timer = setTimeout(() => {
        held.current = null;
        own.chat.close();
      }, 0);
    };
    // What the options are afterwards changes nothing: see above.
  }, [chat, begin]);
  const value = useMemo(() => ({ chat: chat ?? made, soon }), [chat, made, soon]);
  return createElement(ChatContext.Provider, { value }, children);
}

/** A chat that is still to be made, and what to call then. */
export function beginning() {
  let begin = (/** @type {Chat} */ _chat) => {};
  const soon = new Promise((/** @type {(chat: Chat) => void} */ resolve) => (begin = resolve));
  return { soon, begin };
}

function useAround() {
  const around = useContext(ChatContext);
  if (around === undefined) throw new Error("useChat, useRoom, useConnection and useStats need a <ChatProvider> around them");
  return around;
}

/** The chat; null on a server, and until the provider is mounted. @returns {Chat|null} */
export function useChat() {
  return useAround().chat;
}

/** What the connection does: `{ status, reason }`. @returns {ConnectionSnapshot} */
export function useConnection() {
  return useConnectionOf(useChat());
}

/** What is counted, anew with every frame: `{ roundTripMs, bytesIn, polls, … }`. @returns {import("./types.js").Stats} */
export function useStats() {
  const stats = useChat()?.stats;
  return useSyncExternalStore(stats?.subscribe ?? nothingToWatch, stats?.getSnapshot ?? unknownStats, unknownStats);
}

/**
 * A room as it is now, and what can be done in it: `{ messages, pending, unreadCount, …, send, edit, markRead, … }`.
 * @param {string} roomId
 */
export function useRoom(roomId) {
  const around = useAround();
  const snapshot = useRoomOf(around.chat, roomId);
  const acts = useMemo(() => actsOf(around, roomId), [around, roomId]);
  return useMemo(() => ({ ...snapshot, ...acts }), [snapshot, acts]);
}

/**
 * What is known of a room of this chat, without what can be done in it; of no room where one of the two is null.
 * @param {Chat|null} chat @param {string|null} roomId
 */
export function useRoomOf(chat, roomId) {
  const [subscribe, getSnapshot] = useMemo(() => watch(chat, roomId), [chat, roomId]);
  return useSyncExternalStore(subscribe, getSnapshot, unknownRoom);
}

/** The same of its connection. @param {Chat|null} chat */
export function useConnectionOf(chat) {
  const connection = chat?.connection;
  return useSyncExternalStore(
    connection?.subscribe ?? nothingToWatch,
    connection?.getSnapshot ?? unknownConnection,
    unknownConnection,
  );
}

const nothingToWatch = () => () => {};
const unknownConnection = () => UNKNOWN_CONNECTION;
const unknownStats = () => UNKNOWN_STATS;
const unknownRoom = () => UNKNOWN_ROOM;

/** @typedef {{ room: Room, release: () => void, users: number, timer: any }} Shown a room that components show */
/** @type {WeakMap<Chat, Map<string, Shown>>} */
const shownRooms = new WeakMap();

/**
 * Rooms are opened when React subscribes, which is after it has rendered and never on a server.
 * @param {Chat|null} chat @param {string|null} roomId
 * @returns {[(listener: () => void) => () => void, () => RoomSnapshot]}
 */
function watch(chat, roomId) {
  if (chat === null || roomId === null) return [nothingToWatch, unknownRoom];
  const shown = () => shownRooms.get(chat)?.get(roomId);
  return [
    (listener) => {
      const entry = show(chat, roomId);
      const stop = entry.room.subscribe(listener);
      return () => {
        stop();
        hide(chat, roomId, entry);
      };
    },
    () => shown()?.room.getSnapshot() ?? UNKNOWN_ROOM,
  ];
}

/** @param {Chat} chat @param {string} roomId */
function show(chat, roomId) {
  const rooms = shownRooms.get(chat) ?? new Map();
  shownRooms.set(chat, rooms);
  const hold = chat.hold(roomId);
  let entry = rooms.get(roomId);
  // One that has ended meanwhile, because its user left it, is another room object now.
  if (entry?.room === hold.room) {
    hold.release();
  } else {
    clearTimeout(entry?.timer);
    entry = { ...hold, users: 0, timer: undefined };
    rooms.set(roomId, entry);
  }
  clearTimeout(entry.timer);
  entry.users += 1;
  return entry;
}

/** @param {Chat} chat @param {string} roomId @param {Shown} entry */
function hide(chat, roomId, entry) {
  entry.users -= 1;
  if (entry.users > 0) return;
  entry.timer = setTimeout(() => {
    const rooms = shownRooms.get(chat);
    if (rooms?.get(roomId) === entry) rooms.delete(roomId);
    entry.release();
  }, LINGER_MS);
  // In Node, a test or a script is not kept waiting for it.
  entry.timer.unref?.();
}

/**
 * Does something in a room, which is open at least until that is done.
 * @template T @param {Chat} chat @param {string} roomId @param {(room: Room) => T} act @returns {T}
 */
export function inRoom(chat, roomId, act) {
  const entry = show(chat, roomId);
  const done = () => hide(chat, roomId, entry);
  const result = act(entry.room);
  void Promise.resolve(result).then(done, done);
  return result;
}

/** What is called for before there is a chat is done when there is one. @param {Around} around @param {string} roomId */
function actsOf({ chat, soon }, roomId) {
  /** @template T @param {(room: Room) => Promise<T>} act @returns {Promise<T>} */
  const after = (act) => (chat === null ? soon.then((made) => inRoom(made, roomId, act)) : inRoom(chat, roomId, act));
  /** @param {(room: Room) => void} act */
  const now = (act) => void after(async (room) => act(room));
  return {
    /** @param {Parameters<Room["send"]>} given */
    send: (...given) => after((room) => room.send(...given)),
    /** @param {Parameters<Room["retry"]>} given */
    retry: (...given) => after((room) => room.retry(...given)),
    /** @param {Parameters<Room["discard"]>} given */
    discard: (...given) => now((room) => room.discard(...given)),
    /** @param {Parameters<Room["edit"]>} given */
    edit: (...given) => after((room) => room.edit(...given)),
    /** @param {Parameters<Room["delete"]>} given */
    delete: (...given) => after((room) => room.delete(...given)),
    /** @param {Parameters<Room["react"]>} given */
    react: (...given) => after((room) => room.react(...given)),
    /** @param {Parameters<Room["markRead"]>} given */
    markRead: (...given) => after((room) => room.markRead(...given)),
    sendTyping: () => now((room) => room.sendTyping()),
    loadEarlier: () => after((room) => room.loadEarlier()),
  };
}
