// @ts-check
/**
 * The hook of the application that Tidings replaces, by its own name and shape, so that a page moves by changing one
 * import. It took `{ roomId, enabled, pollInterval }` and gave
 *
 *   messages       oldest first, each `{ id, roomId, senderId, senderName, senderAvatarUrl, sender: { id, name, email, role,
 *                  avatarUrl }, content, contentType, status, moderationStatus, createdAt }`
 *   isConnected, typingUsers and onlineMembers (ids of users)
 *   sendMessage(content), which rejects with the service's words; startTyping(), stopTyping()
 *   markAsRead(messageIds), loadMessages(limit)
 *
 * and polled. What differs: messages come over the socket where there is one, so `pollInterval` is not looked at; a send
 * resolves once it is stored, and not before, and rejects if that has not come about in 20 s, with nothing left of it; deleted
 * messages go; `isConnected`, `typingUsers` and `onlineMembers` are true. Messages of the system, which that application
 * did not have, are left out.
 *
 * Inside a `<ChatProvider>` it uses that chat. Without one it makes its own, at the page's origin and with its session
 * cookie, or as `configure` says, and closes it when no component uses it any more. `markAsRead` marks all up to the
 * newest of the messages, and what is not shown behind it.
 */
"use client";
import { useCallback, useContext, useEffect, useMemo, useState } from "react";
import { beginning, ChatContext, inRoom, useConnectionOf, useRoomOf } from "../react.js";
import { connect } from "../tidings.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../tidings.js").Chat} Chat */
/** @typedef {import("../tidings.js").Room} Room */

/**
 * @typedef {object} ChatMessage
 * @property {string} id
 * @property {string} roomId
 * @property {string|null} senderId
 * @property {string|null} senderName
 * @property {string|null} senderAvatarUrl
 * @property {{ id: string|null, name: string|null, email: string, role: string, avatarUrl: string|null }} sender
 * @property {string} content
 * @property {"TEXT"|"IMAGE"} contentType
 * @property {"SENT"|"READ"} status   `READ`: somebody else's, and read by the caller
 * @property {"APPROVED"|"FLAGGED"} moderationStatus  rejected messages are deleted ones
 * @property {string} createdAt  with milliseconds, as `toISOString` gives it
 */

/** How long a send may take: the pages show nothing of what is on its way, and a person will not wait for longer. */
const PATIENCE_MS = 20_000;

/** @type {import("../react.js").ChatOptions} */
let options = {};
/** @type {{ chat: Chat, userId: string|undefined, users: number, timer: any }|null} */
let own = null;

/** How the hook's own chat connects, as for `connect`; to be called before the first use. @param {typeof options} given */
export function configure(given) {
  options = given;
}

/**
 * @param {{ roomId: string|null, enabled?: boolean, pollInterval?: number, userId?: string }} asked  `userId` is who is
 *   signed in: where that can change without a reload, the hook's own chat begins anew with it
 */
export function useChatRest({ roomId, enabled = true, userId }) {
  const { chat, soon } = useChatOrOwn(enabled && roomId !== null, userId);
  const shown = enabled ? roomId : null;
  const { messages, lastReadSeq, typing, online } = useRoomOf(chat, shown);
  const { status } = useConnectionOf(chat);
  const myId = chat?.userId ?? null;
  const formatted = useMemo(
    () => messages.filter(isShown).map((message) => format(message, lastReadSeq, myId)),
    [messages, lastReadSeq, myId],
  );
  return {
    messages: formatted,
    isConnected: status === "live" || status === "polling",
    typingUsers: typing,
    onlineMembers: online,
    ...useActs(chat, soon, shown),
  };
}

/** @param {Chat|null} chat @param {Promise<Chat>} soon @param {string|null} roomId */
function useActs(chat, soon, roomId) {
  const act = useCallback(
    /** @template T @param {(room: Room) => Promise<T>} run @returns {Promise<T|undefined>} nothing where there is no room */
    async (run) => (roomId === null ? undefined : inRoom(chat ?? (await soon), roomId, run)),
    [chat, soon, roomId],
  );
  const sendMessage = useCallback(
    /** @param {string} content @returns {Promise<void>} */
    async (content) => {
      const text = content.trim();
      if (roomId === null || text === "") throw new Error("there is nothing to send, or no room to send it to");
      await act((room) => send(room, text));
    },
    [act, roomId],
  );
  const markAsRead = useCallback(
    /** The pages do not wait for it, so nobody would catch what it throws. @param {string[]} messageIds @returns {Promise<void>} */
    async (messageIds) => act((room) => mark(room, new Set(messageIds)).catch(report)),
    [act],
  );
  const loadMessages = useCallback(
    /** @param {number} [limit] at least so many are shown, if there are so many @returns {Promise<void>} */
    async (limit = 10) => act((room) => load(room, limit).catch(report)),
    [act],
  );
  const startTyping = useCallback(() => void act(async (room) => room.sendTyping()), [act]);
  // Others see it end by itself.
  const stopTyping = useCallback(() => {}, []);
  return { sendMessage, startTyping, stopTyping, markAsRead, loadMessages };
}

/** @param {Room} room @param {string} content */
async function send(room, content) {
  const sending = room.send(content);
  const pending = room.getSnapshot().pending.at(-1);
  const giveUp = () => pending !== undefined && room.discard(pending.id);
  let stop = () => {};
  const timer = setTimeout(() => {
    // One that is on its way just now is given up when that has come to nothing.
    if (!giveUp()) stop = room.subscribe(giveUp);
  }, PATIENCE_MS);
  const { state, error } = await sending;
  clearTimeout(timer);
  stop();
  if (state === "sent") return;
  // The page keeps what was written and says why; here nothing is to be left of it.
  giveUp();
  throw error ?? new Error("the message was not sent");
}

/** @param {Room} room @param {Set<string>} ids */
async function mark(room, ids) {
  const { messages } = room.getSnapshot();
  const newest = messages.findLastIndex(({ id }) => ids.has(id));
  if (newest === -1) return;
  // What is not shown can not be named.
  const next = messages.findIndex((message, at) => at > newest && isShown(message));
  await room.markRead(messages.at(next === -1 ? -1 : next - 1)?.seq);
}

/** @param {Room} room @param {number} limit */
async function load(room, limit) {
  await begun(room);
  for (let held = -1; held !== room.getSnapshot().messages.length; ) {
    const { messages, hasMore } = room.getSnapshot();
    held = messages.length;
    if (!hasMore || messages.filter(isShown).length >= limit) return;
    await room.loadEarlier();
  }
}

/** Until something is known of it. @param {Room} room @returns {Promise<void>} */
function begun(room) {
  return new Promise((resolve) => {
    let stop = () => {};
    const look = () => {
      const { rev, gone } = room.getSnapshot();
      if (rev === null && !gone) return;
      stop();
      resolve();
    };
    stop = room.subscribe(look);
    look();
  });
}

/** @param {Message} message */
const isShown = ({ contentType, deletedAt }) => contentType !== "SYSTEM" && deletedAt === null;

/** Told to whoever looks, and to no caller: so it was. @param {unknown} error */
const report = (error) => console.error("tidings:", error);

/** @param {Message} message @param {number|null} lastReadSeq @param {string|null} myId @returns {ChatMessage} */
function format(message, lastReadSeq, myId) {
  const { id, roomId, seq, senderId, senderName, senderAvatarUrl, content, contentType, moderation, createdAt } = message;
  const isRead = senderId !== myId && lastReadSeq !== null && seq <= lastReadSeq;
  return {
    id,
    roomId,
    senderId,
    senderName,
    senderAvatarUrl,
    sender: { id: senderId, name: senderName, email: "", role: "", avatarUrl: senderAvatarUrl },
    content: content ?? "",
    contentType: contentType === "IMAGE" ? "IMAGE" : "TEXT",
    status: isRead ? "READ" : "SENT",
    moderationStatus: moderation ?? "APPROVED",
    // The service is more exact than a Date of the page.
    createdAt: new Date(createdAt).toISOString(),
  };
}

/**
 * The chat of the provider; without one the hook's own, once it is wanted.
 * @param {boolean} wanted @param {string|undefined} userId @returns {import("../react.js").Around}
 */
function useChatOrOwn(wanted, userId) {
  const around = useContext(ChatContext);
  const [chat, setChat] = useState(/** @type {Chat|null} */ (null));
  const [{ soon, begin }] = useState(beginning);
  const needsOwn = wanted && around === undefined;
  useEffect(() => {
    if (!needsOwn) return undefined;
    // One that has ended, or is another user's, is nobody's any more.
    const fits = own !== null && own.userId === userId && own.chat.connection.getSnapshot().status !== "closed";
    if (own === null || !fits) own = { chat: connect(options), userId, users: 0, timer: undefined };
    const held = own;
    clearTimeout(held.timer);
    held.users += 1;
    setChat(held.chat);
    begin(held.chat);
    return () => {
      held.users -= 1;
      setChat(null);
      if (held.users > 0) return;
      // Kept over a mounting that follows at once, as in StrictMode or from page to page, and no longer: whoever comes
      // later may be somebody else.
      held.timer = setTimeout(() => {
        if (own === held) own = null;
        held.chat.close();
      }, 0);
    };
  }, [needsOwn, userId, begin]);
  return around ?? { chat, soon };
}
