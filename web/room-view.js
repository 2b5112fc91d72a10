// @ts-check
/** The pane of the open room: its head, its messages and where one is in them. */
import { avatar, byId, el, notice, perFrame, reconcile } from "./dom.js";
import { plural, together } from "./format.js";
import { messageRows } from "./messages-view.js";
import { openMenu } from "./menu.js";
import { meet, nameOf, titleOf } from "./people.js";

const EMOJIS = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];
/** Within this of the end one counts as reading along. */
const NEAR_END = 80;
const NEAR_TOP = 240;

/** @typedef {import("./client/types.js").Message} Message */
/** @typedef {import("./client/room.js").Room} Room */

export class RoomView {
  /** @type {Room|null} */
  room = null;
  #stop = () => {};
  #atEnd = true;
  #loading = false;
  /** Messages after this seq were not read when one came. */
  #dividerAfter = /** @type {number|null} */ (null);
  #settled = false;

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
    byId("load-earlier").addEventListener("click", () => this.#loadEarlier());
    byId("latest").addEventListener("click", () => this.toEnd());
    document.addEventListener("visibilitychange", this.render);
    addEventListener("focus", this.render);
    // A keyboard that comes up, a window that shrinks: the end stays in view.
    new ResizeObserver(() => this.#atEnd && this.#jump()).observe(scroller);
  }

  /** @param {Room} room */
  show(room) {
    if (room === this.room) return;
    this.#stop();
    this.room = room;
    this.#stop = room.subscribe(this.render);
    this.#atEnd = true;
    this.#dividerAfter = null;
    this.#settled = false;
    byId("messages").replaceChildren();
    this.render();
  }

  /** To the newest message, for good. */
  toEnd() {
    this.#atEnd = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("scroller").scrollTo({ top: byId("scroller").scrollHeight, behavior: calm ? "auto" : "smooth" });
    this.render();
  }

  /** One has written: what was new has been seen. */
  wrote() {
    this.#dividerAfter = null;
    this.#atEnd = true;
    this.render();
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
    byId("load-earlier").hidden = !state.hasMore;
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
    byId("messages").setAttribute("aria-label", `Messages in ${title}`);
    byId("compose").placeholder = state.gone ? "You are not in this room" : `Message ${title}`;
    // Without a transport nobody knows who is here.
    const { status } = this.chat.connection.getSnapshot();
    const here = status === "live" || status === "polling" ? state.online : [];
    const kind = { DIRECT: "Direct chat", GROUP: "Group", PUBLIC: "Public room" }[info?.type ?? "GROUP"];
    const parts = state.gone ? ["You are no longer in this room"] : [kind, here.length > 0 ? `${here.length} online` : null];
    byId("room-detail").textContent = parts.filter(Boolean).join(" · ");
    reconcile(
      byId("people-faces"),
      here.slice(0, 4).map((id) => ({ key: id, state: nameOf(id), make: () => avatar(id, nameOf(id)) })),
    );
    byId("people").title = here.map((id) => (id === this.me ? "You" : nameOf(id))).join(", ");
  }

  /** @param {import("./client/types.js").RoomSnapshot} state */
  #renderMessages(state) {
    const scroller = byId("scroller");
    const list = byId("messages");
    const anchor = this.#atEnd ? null : this.#anchor();
    reconcile(list, messageRows(state, { me: this.me, dividerAfter: this.#dividerAfter, acts: this.#acts }));
    if (state.rev !== null && state.messages.length + state.pending.length === 0) {
      reconcile(list, [{ key: "empty", state: "", make: () => el("li", { class: "system" }, "Nothing here yet. Say hello.") }]);
    }
    if (this.#atEnd) this.#jump();
    else if (anchor !== null) scroller.scrollTop += anchor.row.getBoundingClientRect().top - anchor.top;
  }

  /** The first row in view, to hold on to while rows come in above it. */
  #anchor() {
    const top = byId("scroller").getBoundingClientRect().top;
    for (const row of byId("messages").children) {
      const box = row.getBoundingClientRect();
      if (box.bottom > top && row.classList.contains("message")) return { row, top: box.top };
    }
    return null;
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
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = byId("scroller");
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (atEnd !== this.#atEnd) {
      this.#atEnd = atEnd;
      this.render();
    }
    if (scrollTop < NEAR_TOP && !atEnd) void this.#loadEarlier();
  }

  async #loadEarlier() {
    if (this.#loading || this.room === null || !this.room.getSnapshot().hasMore) return;
    this.#loading = true;
    // Rows of the past are no news to read aloud.
    byId("messages").setAttribute("aria-busy", "true");
    this.#atEnd = false;
    try {
      await this.room.loadEarlier();
    } catch (error) {
      notice(error);
    }
    requestAnimationFrame(() => {
      this.#loading = false;
      byId("messages").removeAttribute("aria-busy");
      this.#scrolled();
    });
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

