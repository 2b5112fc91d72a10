// @ts-check
/** The pane of the open room: its head, its messages and where one is in them. */
import { avatar, byId, el, notice, perFrame, reconcile } from "./dom.js";
import { plural, together } from "./format.js";
import { messageRows } from "./messages-view.js";
import { openMenu } from "./menu.js";
import { meet, nameOf, titleOf } from "./people.js";
import { Stretch } from "./stretch.js";

const EMOJIS = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];
/** Within this of the end one counts as reading along. */
const NEAR_END = 80;
const NEAR_TOP = 400;
/** More than so many messages are let go of down to so few, where nobody reads back. */
const MANY = 1000;
const FEW = 300;

/** @typedef {import("./client/types.js").Message} Message */
/** @typedef {import("./client/room.js").Room} Room */

export class RoomView {
  /** @type {Room|null} */
  room = null;
  #stop = () => {};
  #atEnd = true;
  /** Where the last jump to the end has led. */
  #jumpedTo = 0;
  #loading = false;
  /** Messages after this seq were not read when one came. */
  #dividerAfter = /** @type {number|null} */ (null);
  #settled = false;
  #stretch = new Stretch();
  /** @type {WeakSet<Room>} */
  #bounded = new WeakSet();

  /**
   * @param {import("./client/tidings.js").Chat} chat
   * @param {{ me: string, edit: (message: Message) => void, direct: (userId: string) => void }} options
   */
  constructor(chat, { me, edit, direct }) {
    this.chat = chat;
    this.me = me;
    this.edit = edit;
    this.direct = direct;
    this.render = perFrame(() => this.#render());
    chat.connection.subscribe(this.render);
    const scroller = byId("scroller");
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    byId("load-earlier").addEventListener("click", () => this.#showEarlier());
    byId("latest").addEventListener("click", () => this.toEnd());
    document.addEventListener("visibilitychange", this.render);
    addEventListener("focus", this.render);
    // A keyboard that comes up, a window that shrinks: the end stays in view.
    new ResizeObserver(() => this.#staysAtEnd() && this.#jump()).observe(scroller);
  }

  /** @param {Room} room */
  show(room) {
    if (room === this.room) return;
    this.#stop();
    this.room = room;
    this.#stop = room.subscribe(this.render);
    this.#bound(room);
    this.#follow();
    this.#dividerAfter = null;
    this.#settled = false;
    byId("messages").replaceChildren();
    this.render();
  }

  /** To the newest message, for good. */
  toEnd() {
    this.#follow();
    this.render();
    byId("compose").focus({ preventScroll: true });
  }

  /** One has written: what was new has been seen. */
  wrote() {
    this.#dividerAfter = null;
    this.#follow();
    this.render();
  }

  #follow() {
    this.#atEnd = true;
    this.#jumpedTo = 0;
    this.#stretch.follow();
  }

  /** Keeps the room small for as long as the page is open, shown or not. @param {Room} room */
  #bound(room) {
    if (this.#bounded.has(room)) return;
    this.#bounded.add(room);
    room.subscribe(() => {
      const readsBack = room === this.room && !this.#atEnd;
      if (!readsBack && room.getSnapshot().messages.length > MANY) room.keepNewest(FEW);
    });
  }

  /** The newest message of one's own that can be edited. @returns {Message|undefined} */
  ownLast() {
    return this.room
      ?.getSnapshot()
      .messages.findLast(({ senderId, deletedAt, contentType }) => senderId === this.me && !deletedAt && contentType === "TEXT");
  }

  #render() {
    const { room } = this;
    if (room === null) return;
    const state = room.getSnapshot();
    for (const { senderId, senderName } of state.messages) meet(senderId, senderName);
    this.#divide(state);
    this.#renderHead(room, state);
    this.#renderMessages(state);
    this.#renderTyping(state.typing);
    byId("compose").disabled = state.gone;
    this.#renderLatest(state.unreadCount);
    if (this.#reading && state.unreadCount > 0 && state.complete) room.markRead().catch(() => {});
    if (state.complete) this.#settled = true;
  }

  get #reading() {
    return this.#atEnd && !document.hidden && document.hasFocus();
  }

  /** @param {import("./client/types.js").RoomSnapshot} state */
  #divide({ unreadCount, lastReadSeq, complete }) {
    if (unreadCount === 0 || lastReadSeq === null || !complete) return;
    const cameBack = !this.#settled;
    const caughtUpSince = this.#dividerAfter === null || lastReadSeq > this.#dividerAfter;
    if ((cameBack || !this.#reading) && caughtUpSince) this.#dividerAfter = lastReadSeq;
  }

  /** @param {Room} room @param {import("./client/types.js").RoomSnapshot} state */
  #renderHead(room, state) {
    const info = this.chat.rooms.get(room.id);
    for (const { userId, name } of info?.members ?? []) meet(userId, name);
    const title = info ? titleOf(info, this.me) : room.id;
    byId("room-title").textContent = title;
    byId("log").setAttribute("aria-label", `Messages in ${title}`);
    byId("compose").placeholder = state.gone ? "You are not in this room" : `Message ${title}`;
    byId("empty-title").textContent = info?.type === "DIRECT" ? `You and ${title}` : `${title} is quiet so far`;
    // Without a transport nobody knows who is here.
    const { status } = this.chat.connection.getSnapshot();
    const isUp = status === "live" || status === "polling";
    const here = isUp ? state.online : [];
    const kind = { DIRECT: "Direct chat", GROUP: "Group", PUBLIC: "Public room" }[info?.type ?? "GROUP"];
    const parts = state.gone ? ["You are no longer in this room"] : [kind, isUp && state.onlineCount > 0 ? `${state.onlineCount} online` : null];
    byId("room-detail").textContent = parts.filter(Boolean).join(" · ");
    reconcile(
      byId("people-faces"),
      here.slice(0, 4).map((id) => ({ key: id, state: nameOf(id), make: () => avatar(id, nameOf(id)) })),
    );
    byId("people").title = here.map((id) => (id === this.me ? "You" : nameOf(id))).join(", ");
  }

  /** @param {import("./client/types.js").RoomSnapshot} state */
  #renderMessages(state) {
    const anchor = this.#staysAtEnd() ? null : this.#anchor();
    const { messages, earlier, later } = this.#stretch.of(state.messages);
    const shown = { messages, pending: later ? [] : state.pending };
    const rows = messageRows(shown, { me: this.me, dividerAfter: this.#dividerAfter, acts: this.#acts });
    reconcile(byId("messages"), rows);
    byId("load-earlier").hidden = !earlier && !state.hasMore;
    const quiet = state.pending.length === 0 && !state.hasMore && state.messages.every(({ contentType }) => contentType === "SYSTEM");
    byId("empty").hidden = state.rev === null || state.gone || !quiet;
    if (this.#atEnd) this.#jump();
    else if (anchor !== null) this.#keep(anchor);
  }

  /** The first message in view, to hold on to while rows come in above it. */
  #anchor() {
    const top = byId("scroller").getBoundingClientRect().top;
    for (const row of byId("messages").children) {
      const box = row.getBoundingClientRect();
      if (box.bottom > top && row.classList.contains("message")) return { key: row.rowKey, top: box.top };
    }
    return null;
  }

  /** By its key, for the row may have been made anew. @param {{ key: string, top: number }} anchor */
  #keep({ key, top }) {
    const row = Array.from(byId("messages").children).find((child) => /** @type {any} */ (child).rowKey === key);
    if (row !== undefined) byId("scroller").scrollTop += row.getBoundingClientRect().top - top;
  }

  /** @param {string[]} typing */
  #renderTyping(typing) {
    const names = typing.map(nameOf);
    const text = names.length > 3 ? "Several people are typing" : `${together(names)} ${names.length > 1 ? "are" : "is"} typing`;
    const line = byId("typing");
    const shown = typing.length === 0 ? "" : text;
    if (line.dataset.text === shown) return;
    line.dataset.text = shown;
    line.replaceChildren();
    if (shown) line.append(el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), el("bdi", {}, shown));
  }

  /** @param {number} unreadCount */
  #renderLatest(unreadCount) {
    byId("latest").hidden = this.#atEnd;
    byId("latest-text").textContent = unreadCount > 0 ? plural(unreadCount, "new message", "new messages") : "Latest";
  }

  #jump() {
    const scroller = byId("scroller");
    scroller.scrollTop = scroller.scrollHeight;
    this.#jumpedTo = scroller.scrollTop;
  }

  /** Whether what comes in is to be in view: a page that is busy hears of one's scrolling late, and must not undo it. */
  #staysAtEnd() {
    if (this.#atEnd && byId("scroller").scrollTop < this.#jumpedTo - NEAR_END) this.#scrolled();
    return this.#atEnd;
  }

  #scrolled() {
    if (this.room === null) return;
    const { scrollTop, scrollHeight, clientHeight } = byId("scroller");
    const { messages } = this.room.getSnapshot();
    const nearEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (nearEnd) this.#jumpedTo = scrollTop;
    if (nearEnd && this.#stretch.down(messages)) this.render();
    const atEnd = nearEnd && this.#stretch.isNewest;
    if (atEnd !== this.#atEnd) {
      this.#atEnd = atEnd;
      if (atEnd) this.#stretch.follow();
      else this.#stretch.hold(messages);
      this.render();
    }
    if (scrollTop < NEAR_TOP && !atEnd) void this.#showEarlier();
  }

  /** What is held first, what the service has then. */
  async #showEarlier() {
    const { room } = this;
    if (this.#loading || room === null) return;
    const held = () => room.getSnapshot().messages;
    this.#atEnd = false;
    this.#stretch.hold(held());
    if (!this.#stretch.up(held())) {
      if (!room.getSnapshot().hasMore || !(await this.#load(room))) return;
      this.#stretch.up(held());
    }
    this.render();
    this.#loading = true;
    // Rows of the past are no news to read aloud.
    byId("log").setAttribute("aria-busy", "true");
    requestAnimationFrame(() => {
      this.#loading = false;
      byId("log").removeAttribute("aria-busy");
      // Whoever went on scrolling meanwhile may be at the top again.
      this.#scrolled();
    });
  }

  /** @param {Room} room @returns {Promise<boolean>} whether it is still the one shown, and has more */
  async #load(room) {
    const { length } = room.getSnapshot().messages;
    this.#loading = true;
    try {
      await room.loadEarlier();
    } catch (error) {
      notice(error);
    } finally {
      this.#loading = false;
    }
    return room === this.room && room.getSnapshot().messages.length > length;
  }

  /** @type {import("./messages-view.js").Acts} */
  #acts = {
    react: (message, emoji, on) => void this.room?.react(message.id, emoji, on).catch(notice),
    retry: (id) => void this.room?.retry(id),
    discard: (id) => this.room?.discard(id),
    menu: (message, button) => this.#openMenu(message, button),
  };

  /** @param {Message} message @param {HTMLElement} button */
  #openMenu(message, button) {
    const mine = message.senderId === this.me;
    const moderates = ["OWNER", "MODERATOR"].includes(this.chat.rooms.get(message.roomId)?.me?.role ?? "");
    const sender = message.senderId;
    const isOn = (/** @type {string} */ emoji) =>
      message.reactions.some((reaction) => reaction.emoji === emoji && reaction.userIds.includes(this.me));
    openMenu(button, {
      emojis: EMOJIS.map((emoji) => ({
        emoji,
        on: isOn(emoji),
        act: () => this.#acts.react(message, emoji, !isOn(emoji)),
      })),
      items: [
        mine ? { text: "Edit", act: () => this.edit(message) } : null,
        mine || moderates ? { text: "Delete", danger: true, act: () => this.#delete(message) } : null,
        !mine && sender ? { text: `Write to ${nameOf(sender)}`, act: () => this.direct(sender) } : null,
      ],
    });
  }

  /** @param {Message} message */
  #delete(message) {
    this.room?.delete(message.id).catch(notice);
  }
}

