// @ts-check
/**
 * React: `<ChatProvider options={…}>` around an application, `useRoom(roomId)` and `useConnection()` inside it.
 * A room is open while a component shows it and a few seconds longer, whatever mounts and unmounts meanwhile (StrictMode
 * does so on purpose), and is closed then, whoever else holds it. Rendering opens nothing, so it may happen on a server.
 */
"use client";
import { createContext, createElement, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
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
  gone: false,
});

/** @type {ConnectionSnapshot} */
const UNKNOWN_CONNECTION = Object.freeze({
  status: "connecting",
  reason: null,
  stats: Object.freeze({
    roundTripMs: null, bytesIn: 0, bytesOut: 0, framesIn: 0, framesOut: 0, polls: 0, pollsMetaOnly: 0, drops: 0,
  }),
});

/** @type {import("react").Context<Chat|null|undefined>} undefined: there is no provider; null: it has not begun */
export const ChatContext = createContext(/** @type {Chat|null|undefined} */ (undefined));

/**
 * Gives the components below it a chat: one of your own making (`chat`), which you also close, or one that it makes
 * when it is mounted (`options`, as for `connect`) and closes when it is gone. Options count when it is mounted; give the
 * provider another `key` for another user.
 * @param {{ chat?: Chat, options?: ChatOptions, children?: import("react").ReactNode }} props
 */
export function ChatProvider({ chat, options, children }) {
  const [made, setMade] = useState(/** @type {Chat|null} */ (null));
  /** @type {import("react").RefObject<{ chat: Chat, timer: any }|null>} */
  const held = useRef(null);
  useEffect(() => {
    if (chat !== undefined) return undefined;
    // Unmounted and mounted again, as StrictMode does, it is the same chat: a second one would be a second socket.
    if (held.current === null) held.current = { chat: connect(options), timer: undefined };
    else clearTimeout(held.current.timer);
    const own = held.current;
    setMade(own.chat);
    return () => {
      own.timer = setTimeout(() => {
        held.current = null;
        own.chat.close();
      }, 0);
    };
    // What the options are afterwards changes nothing: see above.
  }, [chat]);
  return createElement(ChatContext.Provider, { value: chat ?? made }, children);
}

/** The chat; null on a server, and until the provider is mounted. @returns {Chat|null} */
export function useChat() {
  const chat = useContext(ChatContext);
  if (chat === undefined) throw new Error("useChat, useRoom and useConnection need a <ChatProvider> around them");
  return chat;
}

/** What the connection does: `{ status, reason, stats }`. @returns {ConnectionSnapshot} */
export function useConnection() {
  return useConnectionOf(useChat());
}

/**
 * A room as it is now, and what can be done in it: `{ messages, pending, unreadCount, …, send, edit, markRead, … }`.
 * @param {string} roomId
 */
export function useRoom(roomId) {
  const chat = useChat();
  const snapshot = useRoomOf(chat, roomId);
  const acts = useMemo(() => actsOf(chat, roomId), [chat, roomId]);
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
const unknownRoom = () => UNKNOWN_ROOM;

/** @typedef {{ room: Room, users: number, timer: any }} Shown a room that components show */
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
  const room = chat.room(roomId);
  let entry = rooms.get(roomId);
  // One that was closed meanwhile, because its user left it, is another room object now.
  if (entry?.room !== room) {
    clearTimeout(entry?.timer);
    entry = { room, users: 0, timer: undefined };
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
    entry.room.close();
  }, LINGER_MS);
  // In Node, a test or a script is not kept waiting for it.
  entry.timer.unref?.();
}

/** @param {Chat|null} chat @param {string} roomId */
function actsOf(chat, roomId) {
  const room = () => {
    if (chat === null) throw new Error("the chat begins when its <ChatProvider> is mounted");
    return chat.room(roomId);
  };
  return {
    /** @param {Parameters<Room["send"]>} given */
    send: (...given) => room().send(...given),
    /** @param {Parameters<Room["retry"]>} given */
    retry: (...given) => room().retry(...given),
    /** @param {Parameters<Room["discard"]>} given */
    discard: (...given) => room().discard(...given),
    /** @param {Parameters<Room["edit"]>} given */
    edit: (...given) => room().edit(...given),
    /** @param {Parameters<Room["delete"]>} given */
    delete: (...given) => room().delete(...given),
    /** @param {Parameters<Room["react"]>} given */
    react: (...given) => room().react(...given),
    /** @param {Parameters<Room["markRead"]>} given */
    markRead: (...given) => room().markRead(...given),
    sendTyping: () => room().sendTyping(),
    loadEarlier: () => room().loadEarlier(),
  };
}
