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
 * resolves once it is stored, and not before; deleted messages go; `isConnected`, `typingUsers` and `onlineMembers` are true.
 *
 * Inside a `<ChatProvider>` it uses that chat. Without one it makes its own, at the page's origin and with its session
 * cookie, or as `configure` says, and closes it when no component uses it any more. `markAsRead` marks all up to the
 * newest of the messages.
 */
"use client";
import { useCallback, useContext, useEffect, useMemo, useState } from "react";
import { ChatContext, useConnectionOf, useRoomOf } from "../react.js";
import { connect } from "../tidings.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../tidings.js").Chat} Chat */

/**
 * @typedef {object} ChatMessage
 * @property {string} id
 * @property {string} roomId
 * @property {string|null} senderId
 * @property {string|null} senderName
 * @property {string|null} senderAvatarUrl
 * @property {{ id: string|null, name: string|null, email: string, role: string, avatarUrl: string|null }} sender
 * @property {string} content
 * @property {"TEXT"|"IMAGE"|"SYSTEM"} contentType
 * @property {"SENT"|"READ"} status   `READ`: somebody else's, and read by the caller
 * @property {"APPROVED"|"FLAGGED"} moderationStatus  rejected messages are deleted ones
 * @property {string} createdAt
 */

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
  const chat = useChatOrOwn(enabled && roomId !== null, userId);
  const shown = enabled ? roomId : null;
  const { messages, lastReadSeq, typing, online } = useRoomOf(chat, shown);
  const { status } = useConnectionOf(chat);
  const myId = chat?.userId ?? null;
  const formatted = useMemo(
    () => messages.filter(({ deletedAt }) => deletedAt === null).map((message) => format(message, lastReadSeq, myId)),
    [messages, lastReadSeq, myId],
  );
  return {
    messages: formatted,
    isConnected: status === "live" || status === "polling",
    typingUsers: typing,
    onlineMembers: online,
    ...useActs(chat, shown),
  };
}

/** @param {Chat|null} chat @param {string|null} roomId */
function useActs(chat, roomId) {
  const room = useCallback(() => (chat === null || roomId === null ? null : chat.room(roomId)), [chat, roomId]);
  const sendMessage = useCallback(
    /** @param {string} content @returns {Promise<void>} */
    async (content) => {
      const text = content.trim();
      const open = room();
      if (open === null || text === "") throw new Error("there is nothing to send, or no room to send it to");
      const { id, state, error } = await open.send(text);
      if (state !== "failed") return;
      // The page keeps what was written and says why; here nothing is to be left of it.
      open.discard(id);
      throw error ?? new Error("the message was not sent");
    },
    [room],
  );
  const markAsRead = useCallback(
    /** @param {string[]} messageIds @returns {Promise<void>} */
    async (messageIds) => {
      const marked = new Set(messageIds);
      const read = room()?.getSnapshot().messages.filter(({ id }) => marked.has(id)) ?? [];
      // The pages do not wait for it, so nobody would catch what it throws. It is asked again with the next message.
      if (read.length > 0) await room()?.markRead(Math.max(...read.map(({ seq }) => seq))).catch(report);
    },
    [room],
  );
  const loadMessages = useCallback(
    /** @param {number} [limit] at least so many are shown, if there are so many @returns {Promise<void>} */
    async (limit = 10) => {
      const open = room();
      for (let held = -1; open !== null && held !== open.getSnapshot().messages.length; ) {
        held = open.getSnapshot().messages.length;
        if (held >= limit || !open.getSnapshot().hasMore) return;
        await open.loadEarlier().catch(report);
      }
    },
    [room],
  );
  const startTyping = useCallback(() => room()?.sendTyping(), [room]);
  // Others see it end by itself.
  const stopTyping = useCallback(() => {}, []);
  return { sendMessage, startTyping, stopTyping, markAsRead, loadMessages };
}

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
    contentType,
    status: isRead ? "READ" : "SENT",
    moderationStatus: moderation ?? "APPROVED",
    createdAt,
  };
}

/**
 * The chat of the provider; without one the hook's own, once it is wanted.
 * @param {boolean} wanted @param {string|undefined} userId @returns {Chat|null}
 */
function useChatOrOwn(wanted, userId) {
  const around = useContext(ChatContext);
  const [chat, setChat] = useState(/** @type {Chat|null} */ (null));
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
  }, [needsOwn, userId]);
  return around === undefined ? chat : around;
}
