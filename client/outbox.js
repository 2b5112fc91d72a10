// @ts-check
/**
 * Messages of one's own on their way into a room, in the order they were written.
 * Each carries an id made here, so sending it again never doubles it; the socket is taken when live,
 * else a POST at a time. What waits outlives the page where there is a store, and goes before what is written later.
 * It may not touch the room's log: what the service acknowledged is handed over.
 */
import { asChatError, ChatError } from "./error.js";
import { Backoff } from "./backoff.js";

const ATTEMPTS = 5;

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").KeptMessage} KeptMessage */
/** @typedef {{ pending: Pending, place: number, attempts: number, onWay: boolean, settle: (pending: Pending) => void }} Entry */

export class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #posting = false;
  /** @type {any} */
  #pause = null;
  /** The pause was asked for by the service, so nothing cuts it short. */
  #told = false;
  /** What an earlier page left behind is here. */
  #ready = false;
  #closed = false;
  #lastPlace = 0;
  /** @type {Backoff} */
  #backoff;

  /**
   * @param {object} options
   * @param {string} options.roomId
   * @param {import("./types.js").Link} options.link
   * @param {(message: Message) => void} options.onSent
   * @param {() => void} options.onChange
   * @param {(id: string) => boolean} options.isHeld  by the log
   */
  constructor({ roomId, link, onSent, onChange, isHeld }) {
    this.roomId = roomId;
    this.link = link;
    this.onSent = onSent;
    this.onChange = onChange;
    this.isHeld = isHeld;
    this.#backoff = new Backoff({ baseMs: 1000, maxMs: 10_000, random: link.env.random });
    if (link.kept === null) this.#ready = true;
    else void link.kept.load(roomId).then((kept) => this.#restore(kept));
  }

  get pending() {
    return Array.from(this.#entries.values(), (entry) => entry.pending);
  }

  /**
   * @param {import("./types.js").Draft} message
   * @returns {Promise<Pending>} once it is sent, or failed; never rejects
   */
  add({ id = this.link.env.uuid(), ...message }) {
    const createdAt = new Date(this.link.env.clock.now()).toISOString();
    return this.#enter({ id, ...message, createdAt, state: "sending", error: null });
  }

  /** The same message again, under the same id. @param {string} id @returns {Promise<Pending|null>} */
  async retry(id) {
    const entry = this.#entries.get(id);
    if (entry?.pending.state !== "failed") return null;
    return this.#enter({ ...entry.pending, state: "sending", error: null });
  }

  /** @param {string} id */
  discard(id) {
    if (this.#entries.get(id)?.pending.state !== "failed") return;
    this.#drop(id);
    this.onChange();
  }

  /** The log has it, by whatever way it came. */
  settle(held = this.isHeld) {
    for (const [id, entry] of this.#entries) {
      if (!held(id)) continue;
      this.#drop(id);
      entry.settle({ ...entry.pending, state: "sent", error: null });
    }
  }

  /** A transport is there again. */
  wake() {
    if (!this.#told) this.#resume();
  }

  #resume() {
    this.link.env.clock.clearTimeout(this.#pause);
    this.#pause = null;
    this.#told = false;
    this.#pump();
  }

  /** What is on its way stays kept: it is sent when the room is opened again. */
  close() {
    this.#closed = true;
    this.link.env.clock.clearTimeout(this.#pause);
    for (const entry of this.#entries.values()) {
      if (entry.pending.state === "sending") this.#fail(entry, new ChatError("closed", "the room was closed"));
    }
  }

  /** @param {Pending} pending */
  #enter(pending) {
    return new Promise((/** @type {(pending: Pending) => void} */ settle) => {
      this.#entries.delete(pending.id);
      const place = (this.#lastPlace = Math.max(this.#lastPlace + 1, this.link.env.clock.now()));
      const entry = { pending, place, attempts: 0, onWay: false, settle };
      this.#entries.set(pending.id, entry);
      this.#keep(entry);
      this.onChange();
      this.#pump();
    });
  }

  /** Over the socket one after the other without waiting; by POST one at a time, which keeps their order. */
  #pump() {
    if (!this.#ready || this.#closed || this.#pause !== null || this.#posting) return;
    for (const entry of [...this.#entries.values()]) {
      if (entry.pending.state !== "sending") continue;
      if (entry.onWay) {
        if (this.link.isLive()) continue;
        return;
      }
      this.#transmit(entry);
      if (this.#posting) return;
    }
  }

  /** @param {Entry} entry */
  async #transmit(entry) {
    const { id, content, contentType, replyTo, metadata } = entry.pending;
    const message = { id, content, contentType, replyTo, metadata };
    const live = this.link.isLive();
    entry.onWay = true;
    entry.attempts += 1;
    this.#posting = !live;
    try {
      const reply = live
        ? await this.link.request({ type: "send", roomId: this.roomId, message })
        : (await this.link.http.request("POST", `/api/chat/rooms/${this.roomId}/messages`, { body: message })).body;
      this.#backoff.reset();
      this.onSent(reply.message);
      this.settle((sent) => sent === id);
      this.onChange();
    } catch (cause) {
      this.#refused(entry, asChatError(cause));
    } finally {
      entry.onWay = false;
      if (!live) this.#posting = false;
      this.#pump();
    }
  }

  /** @param {Entry} entry @param {ChatError} error */
  #refused(entry, error) {
    if (this.#entries.get(entry.pending.id) !== entry) return;
    // Not the message is refused: it stays kept as one to send.
    if (error.code === "closed" || error.status === 401) return this.#fail(entry, error);
    if (!error.transient) this.#keep(entry, error);
    const slowed = error.status === 429 || error.code === "slow_mode" || error.code === "rate_limited";
    if (slowed && error.retryAfterMs !== null) entry.attempts -= 1;
    if (!error.transient || entry.attempts >= ATTEMPTS) return this.#fail(entry, error);
    // The socket ended with the outcome unknown: the other way can be tried at once.
    if (error.code === "disconnected") return;
    const { clock } = this.link.env;
    clock.clearTimeout(this.#pause);
    this.#told = error.retryAfterMs !== null;
    this.#pause = clock.setTimeout(() => this.#resume(), error.retryAfterMs ?? 500 + this.#backoff.next());
  }

  /** @param {Entry} entry @param {ChatError} error */
  #fail(entry, error) {
    entry.pending = { ...entry.pending, state: "failed", error };
    entry.settle(entry.pending);
    this.onChange();
  }
  /** @param {KeptMessage[]} kept */
  #restore(kept) {
    if (this.#closed) return;
    const earlier = kept.filter(({ id }) => !this.#entries.has(id)).map(restored);
    // What was left behind was written before.
    this.#entries = new Map([...earlier, ...this.#entries]);
    this.#lastPlace = Math.max(this.#lastPlace, kept.at(-1)?.place ?? 0);
    this.#ready = true;
    this.settle();
    if (earlier.length > 0) this.onChange();
    this.#pump();
  }

  /** @param {string} id */
  #drop(id) {
    this.#entries.delete(id);
    this.link.kept?.remove(this.roomId, id);
  }

  /** @param {Entry} entry @param {ChatError|null} refusal */
  #keep({ pending: { id, content, contentType, replyTo, metadata, createdAt }, place }, refusal = null) {
    const error = refusal && { code: refusal.code, detail: refusal.message, status: refusal.status, details: refusal.details };
    this.link.kept?.put(this.roomId, { id, place, createdAt, draft: { content, contentType, replyTo, metadata }, error });
  }
}

/** @param {KeptMessage} kept @returns {[string, Entry]} */
function restored({ id, place, draft, createdAt, error }) {
  /** @type {Pending} */
  const pending = {
    ...draft,
    id,
    createdAt,
    state: error === null ? "sending" : "failed",
    error: error && new ChatError(error.code, error.detail, error),
  };
  return [id, { pending, place, attempts: 0, onWay: false, settle: () => {} }];
}
