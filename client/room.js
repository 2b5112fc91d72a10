// @ts-check
/**
 * One open room: its log kept true over whatever transport there is, and what a person does in it.
 * It promises each message once and in its place; a hole is fetched, never papered over.
 * It may not know how the transport is chosen: it is attached to a live socket, or polled.
 */
import { Log } from "./log.js";
import { Observable } from "./observable.js";
import { Outbox } from "./outbox.js";
import { Attendance } from "./attendance.js";
import { ReadPosition } from "./read-position.js";
import { asChatError } from "./error.js";

const PAGE = 50;
const SYNC_PAGE = 100;
/** How long a live room may stay behind its meta before it stops waiting for the frames. */
const LAG_MS = 3000;
const RETRY_MS = 2000;
/** A neighbour instance may answer a little behind the one whose meta led here. */
const BEHIND_TRIES = 4;
const BEHIND_MS = 250;

/** @typedef {{ since: number|null, confirmed: boolean }} Subscription */
/** @typedef {import("./types.js").Link} Link */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Meta} Meta */
/** @typedef {import("./types.js").RoomSnapshot} RoomSnapshot */

/** @extends {Observable<RoomSnapshot>} */
export class Room extends Observable {
  #log = new Log();
  #syncing = /** @type {Promise<void>|null} */ (null);
  /** The subscription on the live socket; frames count only once it is confirmed. */
  #subscription = /** @type {Subscription|null} */ (null);
  #lastSeq = 0;
  /** The cursor as it was last shown, and since when it stands there. */
  #shown = { rev: /** @type {number|null} */ (null), since: /** @type {number|null} */ (null) };
  #gone = false;
  #closed = false;
  #retry = /** @type {any} the next attempt to subscribe */ (null);
  #patience = /** @type {any} the end of the patience with a live room that lags behind its meta */ (null);

  /** @param {string} id @param {Link} link @param {{ onClose: () => void, onEnd: () => void }} hooks */
  constructor(id, link, { onClose, onEnd }) {
    super();
    this.id = id;
    this.path = `/api/chat/rooms/${encodeURIComponent(id)}`;
    this.link = link;
    /** The application follows it no longer; should nobody else, it ends. Leaving it is another thing. */
    this.close = onClose;
    this.onEnd = onEnd;
    const onChange = () => this.changed();
    this.attendance = new Attendance({ link, roomId: id, path: this.path, onChange });
    this.position = new ReadPosition({ link, roomId: id, path: this.path, onChange });
    this.outbox = new Outbox({
      roomId: id,
      link,
      onChange,
      isHeld: (messageId) => this.#log.get(messageId) !== undefined,
      onSent: (message) => {
        this.position.hearOf(message.seq);
        this.#log.merge([message]);
        this.#settle();
      },
    });
  }

  /** @protected @returns {RoomSnapshot} */
  build() {
    const log = this.#log;
    const lastSeq = Math.max(this.#lastSeq, log.lastSeq);
    return {
      messages: log.messages,
      pending: this.outbox.pending,
      rev: log.rev,
      revSince: this.#shown.since,
      lastSeq,
      lastReadSeq: this.position.seq,
      unreadCount: this.position.seq === null ? 0 : Math.max(0, lastSeq - Math.max(this.position.seq, log.oldest - 1)),
      complete: log.complete && !this.#gone,
      hasMore: log.hasMore,
      typing: this.attendance.typing,
      online: this.attendance.online,
      onlineCount: this.attendance.onlineCount,
      gone: this.#gone,
    };
  }

  /** @protected */
  changed() {
    const { rev } = this.#log;
    if (rev !== this.#shown.rev) this.#shown = { rev, since: rev === null ? null : this.link.env.clock.now() };
    super.changed();
  }

  // What a person does.

  /**
   * Resolves once the message is sent, refused or discarded, or the room is closed: its `state` tells. It never rejects.
   * @param {string|import("./types.js").Draft} message
   */
  send(message) {
    this.attendance.wrote();
    return this.outbox.add(typeof message === "string" ? { content: message } : message);
  }

  /** @param {string} id */
  retry(id) {
    return this.outbox.retry(id);
  }

  /** Gives up a message that is not on its way just now. @param {string} id @returns {boolean} whether it could */
  discard(id) {
    return this.outbox.discard(id);
  }

  /** @param {string} messageId @param {string} content */
  edit(messageId, content) {
    return this.#change({ type: "edit", messageId, content }, "PATCH", messageId, { content });
  }

  /** @param {string} messageId */
  delete(messageId) {
    return this.#change({ type: "delete", messageId }, "DELETE", messageId);
  }

  /** @param {string} messageId @param {string} emoji @param {boolean} on */
  react(messageId, emoji, on) {
    const path = `${messageId}/reactions/${encodeURIComponent(emoji)}`;
    return this.#change({ type: "react", messageId, emoji, on }, on ? "PUT" : "DELETE", path);
  }

  /** Moves the read position, only forward. @param {number} [seq] absent: to the newest message */
  async markRead(seq = this.getSnapshot().lastSeq) {
    await this.position.mark(seq);
  }

  /** Tells the others; at most once in three seconds, however often it is called. */
  sendTyping() {
    this.attendance.sendTyping();
  }

  /** The page before the earliest message held. */
  async loadEarlier() {
    const { floor, epoch, hasMore } = this.#log;
    if (floor === null || !hasMore) return;
    const { body } = await this.link.http.request("GET", `${this.path}/messages?before=${floor}&limit=${PAGE}`);
    if (epoch !== this.#log.epoch) return;
    this.#log.takeEarlier(floor, body);
    this.changed();
  }

  /** Lets go of earlier messages, so that a room followed for days stays small. @param {number} count */
  keepNewest(count) {
    if (this.#log.keepNewest(count)) this.changed();
  }

  // What the transport tells. Below here is the client's own.

  /** Nobody follows it any more. */
  end() {
    if (this.#closed) return;
    if (this.#subscription !== null) this.link.send({ type: "unsubscribe", roomId: this.id });
    this.#closed = true;
    this.detach();
    this.attendance.close();
    this.position.close();
    this.outbox.close();
    this.onEnd();
  }

  /** Polled and lacking something. */
  get behind() {
    return !this.#closed && !this.#gone && !this.#log.complete;
  }

  /** A live socket is there: go on from the cursor. @param {boolean} [goesOn]  the last one does meanwhile @returns {Promise<void>} */
  async attach(goesOn = false) {
    if (this.#closed || this.#gone) return;
    this.link.env.clock.clearTimeout(this.#retry);
    const { rev, history } = this.#log;
    const subscription = (this.#subscription = { since: rev, confirmed: goesOn && rev !== null && !!this.#subscription?.confirmed });
    const from = rev === null ? { limit: PAGE } : { since: rev, history };
    const asked = this.link.request({ type: "subscribe", roomId: this.id, ...from }, (reply) => this.#confirm(subscription, reply));
    this.outbox.wake();
    try {
      await asked;
    } catch (cause) {
      const error = asChatError(cause);
      if (this.#subscription !== subscription || error.code === "disconnected") return;
      if (error.gone) return this.takeGone();
      if (error.reset) {
        this.#reset();
        return this.attach();
      }
      this.#subscription = null;
      this.#retry = this.link.env.clock.setTimeout(() => this.attach(), error.retryAfterMs ?? RETRY_MS);
    }
  }

  /** The socket is gone. */
  detach() {
    this.#subscription = null;
    this.link.env.clock.clearTimeout(this.#retry);
    this.#calm();
  }

  /** Poll mode has an answer, and presence has no frames here. @param {boolean} isBack  there was none before */
  polled(isBack) {
    if (isBack) this.outbox.wake();
    this.attendance.refresh();
  }

  /** The caller became a member (again). */
  rejoined() {
    if (!this.#gone) return;
    this.#gone = false;
    if (this.link.isLive()) this.attach();
    this.changed();
  }

  /** @param {any} frame */
  take(frame) {
    switch (frame.type) {
      case "messages":
        return this.#takeMessages(frame);
      case "message":
        return this.#takeMessage(frame.message);
      case "removed":
        return this.takeGone();
      case "read":
        if (frame.userId === this.link.myId()) this.position.hearOf(frame.seq);
        return this.changed();
      default:
        return this.attendance.take(frame);
    }
  }

  /** Hears of the room's head; never moves the cursor. @param {Meta} meta @param {string} [history] */
  takeMeta(meta, history = meta.history) {
    if (history !== undefined && this.#log.history !== null && history !== this.#log.history) this.#restart();
    this.rejoined();
    this.#log.trim(meta.oldestSeq);
    this.#log.hearOf(meta.rev);
    this.#lastSeq = Math.max(this.#lastSeq, meta.lastSeq);
    if (meta.lastReadSeq !== undefined) this.position.hearOf(meta.lastReadSeq);
    this.#expectFrames();
    this.changed();
  }

  /** It is not, or no longer, open to the caller. */
  takeGone() {
    this.#gone = true;
    this.detach();
    this.changed();
  }

  /** Fetches until nothing is known to be missing; one at a time. @returns {Promise<void>} */
  sync() {
    this.#syncing ??= this.#catchUp().finally(() => {
      this.#syncing = null;
      this.changed();
    });
    return this.#syncing;
  }

  // Inside.

  async #catchUp() {
    for (let tries = 0, resets = 0; this.behind; ) {
      const { rev, history, epoch } = this.#log;
      const query =
        rev === null ? `limit=${PAGE}` : `since=${rev}&history=${encodeURIComponent(history ?? "")}&limit=${SYNC_PAGE}`;
      try {
        const { body } = await this.link.http.request("GET", `${this.path}/messages?${query}`);
        if (epoch !== this.#log.epoch) continue;
        if (rev === null) this.#log.takeNewest(body);
        else this.#log.takeChanges(rev, body);
        this.#settle();
      } catch (cause) {
        const error = asChatError(cause);
        if (error.gone) return this.takeGone();
        if (!error.reset || (resets += 1) > 2) throw error;
        if (epoch === this.#log.epoch) this.#restart();
        continue;
      }
      if (this.#log.rev !== rev) tries = 0;
      else if ((tries += 1) >= BEHIND_TRIES) return;
      else await new Promise((done) => this.link.env.clock.setTimeout(() => done(null), BEHIND_MS * tries));
    }
  }

  /** Nobody waits for it: a failure is met by the next frame, meta or poll. */
  #syncQuietly() {
    this.sync().catch(() => this.#expectFrames());
  }

  /** Live and behind: the frames are on their way. Only if the cursor stands still is something lost. */
  #expectFrames() {
    if (this.#subscription === null || !this.behind || this.#patience !== null) return;
    const { rev } = this.#log;
    this.#patience = this.link.env.clock.setTimeout(() => {
      this.#patience = null;
      if (this.#log.rev === rev && this.behind) this.#syncQuietly();
      else this.#expectFrames();
    }, LAG_MS);
  }

  /**
   * Frames of an earlier subscription count for nothing: only this reply says that this one begins.
   * @param {Subscription} subscription @param {any} reply
   */
  #confirm(subscription, { rev, lastSeq, history, status, oldestSeq }) {
    if (this.#subscription !== subscription) return;
    if (status === "reset") {
      this.#reset();
      subscription.since = null;
    }
    subscription.confirmed = true;
    this.#log.trim(oldestSeq);
    // Asked only now, for frames tell every change from here on.
    this.attendance.refresh({ force: true });
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq ?? 0);
    // An empty room has no page to follow.
    if (this.#log.rev === null && lastSeq === 0) this.#log.takeNewest({ messages: [], rev, history });
    this.#log.history ??= history ?? null;
    this.#log.hearOf(rev);
    this.#expectFrames();
    this.changed();
  }

  /** @param {any} frame */
  #takeMessages(frame) {
    const subscription = this.#subscription;
    if (!subscription?.confirmed) return;
    const page = { ...frame, history: this.#log.history ?? undefined };
    if (this.#syncing !== null) {
      // A hole is being filled beside the socket; a page that may begin behind it must not hide it.
      this.#log.trim(frame.oldestSeq);
      this.#log.merge(frame.messages);
      this.#log.hearOf(frame.rev);
    } else if (subscription.since === null) {
      const begun = this.#log.rev !== null;
      this.#log.takeNewest(page);
      subscription.since = this.#log.rev;
      if (begun && !this.#log.complete) this.#syncQuietly();
    } else {
      this.#log.takeChanges(subscription.since, page);
    }
    this.#settle();
  }

  /** @param {Message} message */
  #takeMessage(message) {
    if (!this.#subscription?.confirmed) return;
    this.attendance.arrived(message);
    const step = this.#log.takeLive(message);
    if (step === "known") return;
    if (step === "hole") this.#syncQuietly();
    this.#lastSeq = Math.max(this.#lastSeq, message.seq);
    if (message.senderId !== null && message.senderId === this.link.myId()) this.position.hearOf(message.seq);
    this.#settle();
  }

  /**
   * @param {object} frame @param {string} method @param {string} path @param {object} [body]
   * @returns {Promise<Message>} in its new state
   */
  async #change(frame, method, path, body) {
    const url = `${this.path}/messages/${path}`;
    const { message } = await this.link.perform({ ...frame, roomId: this.id }, method, url, body);
    this.#log.merge([message]);
    this.#settle();
    return message;
  }

  #calm() {
    this.link.env.clock.clearTimeout(this.#patience);
    this.#patience = null;
  }

  #settle() {
    if (this.#log.complete) this.#calm();
    this.outbox.settle();
    this.changed();
  }

  #reset() {
    this.#log.reset();
    this.#lastSeq = 0;
    this.position.forget();
    this.changed();
  }

  /** Another history, learned beside the socket: drop all, and have a live socket begin anew. */
  #restart() {
    this.#reset();
    if (this.#subscription !== null) this.attach();
  }
}
