// @ts-check
/**
 * Messages of one's own on their way into a room, in the order they were written.
 * Each carries an id made here, so sending it again never doubles it; the socket is taken when live,
 * else a POST at a time. It may not touch the room's log: what the service acknowledged is handed over.
 */
import { asChatError, ChatError } from "./error.js";
import { Backoff } from "./backoff.js";

const ATTEMPTS = 5;

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {{ pending: Pending, attempts: number, onWay: boolean, settle: (pending: Pending) => void }} Entry */

export class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #posting = false;
  /** @type {any} */
  #pause = null;
  /** The pause was asked for by the service, so nothing cuts it short. */
  #told = false;
  /** @type {Backoff} */
  #backoff;

  /**
   * @param {object} options
   * @param {string} options.roomId
   * @param {import("./types.js").Link} options.link
   * @param {(message: Message) => void} options.onSent
   * @param {() => void} options.onChange
   */
  constructor({ roomId, link, onSent, onChange }) {
    this.roomId = roomId;
    this.link = link;
    this.onSent = onSent;
    this.onChange = onChange;
    this.#backoff = new Backoff({ baseMs: 1000, maxMs: 10_000, random: link.env.random });
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
    this.#entries.delete(id);
    this.onChange();
  }

  /** The log has it, by whatever way it came. @param {(id: string) => boolean} held */
  settle(held) {
    for (const [id, entry] of this.#entries) {
      if (!held(id)) continue;
      this.#entries.delete(id);
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

  close() {
    this.link.env.clock.clearTimeout(this.#pause);
    for (const entry of this.#entries.values()) {
      if (entry.pending.state === "sending") this.#fail(entry, new ChatError("closed", "the room was closed"));
    }
  }

  /** @param {Pending} pending */
  #enter(pending) {
    return new Promise((/** @type {(pending: Pending) => void} */ settle) => {
      this.#entries.delete(pending.id);
      this.#entries.set(pending.id, { pending, attempts: 0, onWay: false, settle });
      this.onChange();
      this.#pump();
    });
  }

  /** Over the socket one after the other without waiting; by POST one at a time, which keeps their order. */
  #pump() {
    if (this.#pause !== null || this.#posting) return;
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
}
