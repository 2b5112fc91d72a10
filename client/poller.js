// @ts-check
/**
 * Poll mode: one meta request for everything that is open, messages only for rooms that moved.
 * It promises never two polls in flight, and the next one timed from the end of the last.
 */
import { asChatError } from "./error.js";
import { Backoff } from "./backoff.js";

const VISIBLE_MS = 2500;
const HIDDEN_MS = 15_000;

/**
 * @typedef {object} Polled        what is asked about and who hears the answer
 * @property {() => string[]|null} roomIds   null: all rooms of the caller
 * @property {(answer: any, asked: string[]|null) => { sync(): Promise<void> }[]} take  returns the rooms that lack messages
 * @property {() => void} onAnswer
 * @property {(error: import("./error.js").ChatError) => void} onFailure
 */

export class Poller {
  #running = false;
  /** @type {AbortController|null} */
  #inFlight = null;
  /** @type {any} */
  #timer = null;
  #urgent = false;
  /** @type {{ path: string, etag: string|null }} */
  #seen = { path: "", etag: null };

  /**
   * @param {import("./types.js").Environment} env
   * @param {import("./http.js").Http} http
   * @param {import("./types.js").Stats} stats
   * @param {Polled} polled
   */
  constructor(env, http, stats, polled) {
    this.env = env;
    this.http = http;
    this.stats = stats;
    this.polled = polled;
    this.backoff = new Backoff({ baseMs: 1000, maxMs: HIDDEN_MS, random: env.random });
  }

  get running() {
    return this.#running;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.backoff.reset();
    this.now();
  }

  stop() {
    this.#running = false;
    this.#urgent = false;
    this.env.clock.clearTimeout(this.#timer);
    this.#inFlight?.abort();
  }

  /** Polls at once, or as soon as the poll in flight is done. */
  now() {
    if (!this.#running) return;
    if (this.#inFlight !== null) {
      this.#urgent = true;
      return;
    }
    this.env.clock.clearTimeout(this.#timer);
    void this.#poll();
  }

  async #poll() {
    const abort = new AbortController();
    this.#inFlight = abort;
    let waitMs = 0;
    try {
      await this.#ask(abort.signal);
      this.backoff.reset();
      if (this.#running && !abort.signal.aborted) this.polled.onAnswer();
    } catch (cause) {
      const error = asChatError(cause);
      if (!abort.signal.aborted) {
        waitMs = error.retryAfterMs ?? this.backoff.next();
        if (this.#running) this.polled.onFailure(error);
      }
    }
    this.#inFlight = null;
    if (!this.#running) return;
    if (this.#urgent && waitMs === 0) {
      this.#urgent = false;
      return void this.#poll();
    }
    this.#urgent = false;
    const interval = this.env.visibility.hidden() ? HIDDEN_MS : VISIBLE_MS;
    this.#timer = this.env.clock.setTimeout(() => void this.#poll(), Math.max(interval, waitMs));
  }

  /** @param {AbortSignal} signal */
  async #ask(signal) {
    const asked = this.polled.roomIds();
    const query = asked === null ? "" : `?rooms=${asked.map(encodeURIComponent).join(",")}`;
    const path = `/api/chat/meta${query}`;
    const etag = path === this.#seen.path ? this.#seen.etag : null;
    const startedAt = this.env.clock.now();
    const answer = await this.http.request("GET", path, { etag, signal });
    this.stats.roundTripMs = this.env.clock.now() - startedAt;
    this.stats.polls += 1;
    if (answer.status !== 304) this.#seen = { path, etag: answer.etag };
    // After a 304 too: what the last answer led to may not have been fetched.
    const behind = this.polled.take(answer.status === 304 ? null : answer.body, asked);
    if (behind.length === 0) this.stats.pollsMetaOnly += 1;
    const fetched = await Promise.allSettled(behind.map((room) => room.sync()));
    for (const result of fetched) if (result.status === "rejected") throw result.reason;
  }
}
