// @ts-check
/**
 * Messages of one's own on their way into a room, in the order they were written.
 * Each carries an id made here, so sending it again never doubles it; the socket is taken when live,
 * else a POST at a time. One rule holds for here and for the next page: what the service has not judged is tried on and on,
 * what it has refused is never sent again by itself. What waits outlives the page where there is a store.
 * It may not touch the room's log: what the service acknowledged is handed over.
 */
import { asChatError, ChatError } from "./error.js";
import { Backoff } from "./backoff.js";

/** A message that so often met a fault of the service's own lets the others go first. */
const STUCK = 5;

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").KeptMessage} KeptMessage */
/**
 * @typedef {object} Entry
 * @property {Pending} pending
 * @property {number} place
 * @property {boolean} onWay
 * @property {object|null} way   the socket it went out on; null: a POST
 * @property {boolean} shared    another page wrote it, which may be there still
 * @property {boolean} doubtful  and may have sent or discarded it: it is looked for in the store first
 * @property {(pending: Pending) => void} settle
 */

export class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #posting = false;
  /** @type {any} */
  #pause = null;
  /** The pause was asked for by the service, so nothing cuts it short. */
  #told = false;
  /** What an earlier page left behind is here. */
  #ready = true;
  #closed = false;
  #lastPlace = 0;
  /** @type {Backoff} */
  #backoff;
  /** @type {import("./claim.js").Claim|null} */
  #kept = null;

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
    this.#backoff = new Backoff({ baseMs: 1000, maxMs: 30_000, random: link.env.random });
    this.#closed = link.http.closed;
    if (link.kept === null || this.#closed) return;
    this.#ready = false;
    this.#kept = link.kept.open(roomId, (left) => this.#takeOver(left));
    void this.#kept.ready.then(() => {
      this.#ready = true;
      this.#pump();
    });
  }

  get pending() {
    return Array.from(this.#entries.values(), (entry) => entry.pending);
  }

  /**
   * @param {import("./types.js").Draft} message
   * @returns {Promise<Pending>} once it is sent, refused or discarded, or the room is closed; never rejects
   */
  add({ id = this.link.env.uuid(), ...message }) {
    const createdAt = new Date(this.link.env.clock.now()).toISOString();
    return this.#enter({ id, ...message, createdAt, state: "sending", attempts: 0, error: null });
  }

  /**
   * The same message again, under the same id; one that waits for its next attempt waits no longer.
   * @param {string} id @returns {Promise<Pending|null>}
   */
  async retry(id) {
    const entry = this.#entries.get(id);
    if (entry?.pending.state === "failed") return this.#enter({ ...entry.pending, state: "sending", attempts: 0, error: null });
    if (entry !== undefined) this.wake();
    return null;
  }

  /** @param {string} id @returns {boolean} false: it is on its way just now, or there is none */
  discard(id) {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.onWay) return false;
    this.#drop(id);
    const error = entry.pending.error ?? new ChatError("discarded", "the message was discarded");
    entry.settle({ ...entry.pending, state: "failed", error });
    this.onChange();
    // With the last that waits goes what it waited for: the next is told by itself how long to wait.
    if (!this.pending.some(({ state }) => state === "sending")) this.#resume();
    return true;
  }

  /** The log has it, by whatever way it came. */
  settle(held = this.isHeld) {
    for (const [id, entry] of this.#entries) {
      if (!held(id)) continue;
      this.#drop(id);
      entry.settle({ ...entry.pending, state: "sent", error: null });
    }
  }

  /** A transport is there again, after there was none. */
  wake() {
    if (!this.#told) this.#resume();
  }

  #resume() {
    this.link.env.clock.clearTimeout(this.#pause);
    this.#pause = null;
    this.#told = false;
    this.#pump();
  }

  /** What is on its way stays kept: it is sent when the room is opened again, here or by another page. */
  close() {
    this.#closed = true;
    this.link.env.clock.clearTimeout(this.#pause);
    for (const entry of this.#entries.values()) if (entry.pending.state === "sending") this.#leave(entry);
    this.#kept?.close();
  }

  /** @param {Pending} pending */
  #enter(pending) {
    return new Promise((/** @type {(pending: Pending) => void} */ settle) => {
      this.#entries.delete(pending.id);
      const place = (this.#lastPlace = Math.max(this.#lastPlace + 1, this.link.env.clock.now()));
      const entry = { pending, place, onWay: false, way: null, shared: false, doubtful: false, settle };
      this.#entries.set(pending.id, entry);
      this.#keep(entry);
      if (this.#closed) return this.#leave(entry);
      this.onChange();
      this.#pump();
    });
  }

  /** Over the socket one after the other without waiting; by POST one at a time, which keeps their order. */
  #pump() {
    if (!this.#ready || this.#closed || this.#pause !== null || this.#posting) return;
    const waiting = [...this.#entries.values()].filter(({ pending }) => pending.state === "sending");
    for (const entry of waiting.sort((a, b) => isStuck(a) - isStuck(b))) {
      if (entry.onWay) {
        // Behind one on another way it could arrive before it.
        if (entry.way !== null && entry.way === this.link.way()) continue;
        return;
      }
      if (entry.doubtful) void this.#lookFor(entry);
      else void this.#transmit(entry);
      if (this.#posting) return;
    }
  }

  /** @param {Entry} entry */
  async #lookFor(entry) {
    this.#posting = true;
    const row = await this.#kept?.find(entry.pending.id);
    this.#posting = entry.doubtful = false;
    if (row === null) this.discard(entry.pending.id);
    else if (row?.error) this.#fail(entry, refusal(row.error));
    this.#pump();
  }

  /** @param {Entry} entry */
  async #transmit(entry) {
    const { id, content, contentType, replyTo, metadata } = entry.pending;
    const message = { id, content, contentType, replyTo, metadata };
    entry.way = this.link.way();
    const live = entry.way !== null;
    entry.onWay = true;
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
    if (this.#entries.get(entry.pending.id) !== entry || this.#closed) return;
    // It is over here; the next page has a token that counts.
    if (error.code === "closed") return this.close();
    if (!error.transient) {
      this.#keep(entry, error);
      return this.#fail(entry, error);
    }
    entry.pending = { ...entry.pending, attempts: entry.pending.attempts + 1, error };
    entry.doubtful = entry.shared;
    this.onChange();
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

  /** Nobody sends it here any more; what is not kept either, nobody at all. @param {Entry} entry */
  #leave(entry) {
    const error = new ChatError("closed", "the room was closed");
    if (this.#kept === null) return this.#fail(entry, error);
    entry.pending = { ...entry.pending, error };
    entry.settle(entry.pending);
    this.onChange();
  }

  /** What other pages have left. @param {KeptMessage[]} left */
  #takeOver(left) {
    if (this.#closed) return;
    const shared = this.#kept?.shared === true;
    const taken = left.filter(({ id }) => !this.#entries.has(id)).map((kept) => restored(kept, shared));
    if (taken.length === 0) return;
    // It was written before.
    this.#entries = new Map([...taken, ...this.#entries]);
    this.#lastPlace = Math.max(this.#lastPlace, ...left.map(({ place }) => place));
    this.settle();
    this.onChange();
    this.#pump();
  }

  /** @param {string} id */
  #drop(id) {
    this.#entries.delete(id);
    this.#kept?.remove(id);
  }

  /** @param {Entry} entry @param {ChatError|null} refusal */
  #keep({ pending: { id, content, contentType, replyTo, metadata, createdAt }, place }, refusal = null) {
    const error = refusal && { code: refusal.code, detail: refusal.message, status: refusal.status, details: refusal.details };
    void this.#kept?.put({ id, place, createdAt, draft: { content, contentType, replyTo, metadata }, error });
  }
}

/** @param {Entry} entry */
const isStuck = ({ pending: { attempts, error } }) => Number(attempts >= STUCK && error?.code === "internal");

/** @param {NonNullable<KeptMessage["error"]>} kept */
const refusal = (kept) => new ChatError(kept.code, kept.detail, kept);

/** @param {KeptMessage} kept @param {boolean} shared @returns {[string, Entry]} */
function restored({ id, place, draft, createdAt, error }, shared) {
  /** @type {Pending} */
  const pending = { ...draft, id, createdAt, state: error === null ? "sending" : "failed", attempts: 0, error: error && refusal(error) };
  return [id, { pending, place, onWay: false, way: null, shared, doubtful: shared, settle: () => {} }];
}
