// @ts-check
/**
 * Poll mode: one meta request for everything that is open, messages only for rooms that moved.
 * It promises never two polls in flight. In front the service is asked to hold the answer until something
 * changes; where that does not work, or is not wanted, the next poll is timed from the end of the last.
 */
import { asChatError } from "./error.js";
import { Backoff } from "./backoff.js";

const VISIBLE_MS = 2500;
const HIDDEN_MS = 15_000;
/** How long the service is asked to hold an answer, and how soon a busy room may be asked about again. */
const HOLD_S = 25;
const GAP_MS = 1000;
/** An answer without news that comes sooner than this was not held: something between does not let it. */
const HELD_MS = 20_000;
const PLAIN_MS = 10 * 60_000;
/** A held answer may take so much longer than it is held. */
const ANSWER_MS = 15_000;

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
  /** The poll in flight is one that the service holds. */
  #held = false;
  /** The last poll was answered: only then is there a state to wait beyond. */
  #steady = false;
  #plainUntil = 0;
  /** A poll was held for long since polls are held: they get through here. */
  #proven = false;
  /** Polls in a row that were to be held, and were not. */
  #misses = 0;
  /** Until then the service wants to be left alone. */
  #toldUntil = 0;
  /** @type {{ path: string, etag: string|null }} */
  #seen = { path: "", etag: null };

  /**
   * @param {object} options
   * @param {import("./types.js").Environment} options.env
   * @param {import("./http.js").Http} options.http
   * @param {import("./types.js").Stats} options.stats
   * @param {boolean} options.hold  whether the service may be asked to hold its answer
   * @param {Polled} options.polled
   */
  constructor({ env, http, stats, hold, polled }) {
    this.env = env;
    this.http = http;
    this.stats = stats;
    this.hold = hold;
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

  /** Polls at once, or as soon as the poll in flight is done; a held one is given up. */
  now() {
    if (!this.#running) return;
    this.#steady = false;
    if (this.#inFlight !== null) {
      this.#urgent = true;
      if (this.#held) this.#inFlight.abort();
      return;
    }
    const told = this.#toldUntil - this.env.clock.now();
    if (told > 0) return this.#later(told);
    this.env.clock.clearTimeout(this.#timer);
    void this.#poll();
  }

  /** @param {number} ms */
  #later(ms) {
    this.env.clock.clearTimeout(this.#timer);
    this.#timer = this.env.clock.setTimeout(() => void this.#poll(), ms);
  }

  async #poll() {
    const abort = new AbortController();
    this.#inFlight = abort;
    const startedAt = this.env.clock.now();
    const misses = this.#misses;
    let waitMs = 0;
    try {
      await this.#ask(abort.signal);
      this.backoff.reset();
      this.#steady = !this.#urgent && this.#misses <= misses;
      if (this.#running && !abort.signal.aborted) this.polled.onAnswer();
    } catch (cause) {
      this.#steady = false;
      const error = asChatError(cause);
      if (!abort.signal.aborted) {
        waitMs = error.retryAfterMs ?? this.backoff.next();
        if (error.retryAfterMs !== null) this.#toldUntil = this.env.clock.now() + error.retryAfterMs;
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
    this.#later(Math.max(this.#interval(startedAt), waitMs));
  }

  /** @param {number} startedAt  of the last poll */
  #interval(startedAt) {
    if (this.#mayHold) return Math.max(0, GAP_MS - (this.env.clock.now() - startedAt));
    return this.env.visibility.hidden() ? HIDDEN_MS : VISIBLE_MS;
  }

  get #mayHold() {
    const { clock, visibility } = this.env;
    return this.hold && this.#steady && this.#seen.etag !== null && !visibility.hidden() && clock.now() >= this.#plainUntil;
  }

  /** @param {AbortSignal} signal */
  async #ask(signal) {
    const asked = this.polled.roomIds();
    const path = `/api/chat/meta${asked === null ? "" : `?rooms=${asked.map(encodeURIComponent).join(",")}`}`;
    const etag = path === this.#seen.path ? this.#seen.etag : null;
    const held = etag !== null && this.#mayHold;
    const answer = held ? await this.#askAndHold(path, etag, signal) : await this.#askPlainly(path, etag, signal);
    this.stats.polls += 1;
    if (answer.status !== 304) this.#seen = { path, etag: answer.etag };
    // After a 304 too: what the last answer led to may not have been fetched.
    const behind = this.polled.take(answer.status === 304 ? null : answer.body, asked);
    if (behind.length === 0) this.stats.pollsMetaOnly += 1;
    const fetched = await Promise.allSettled(behind.map((room) => room.sync()));
    for (const result of fetched) if (result.status === "rejected") throw result.reason;
  }

  /** @param {string} path @param {string|null} etag @param {AbortSignal} signal */
  async #askPlainly(path, etag, signal) {
    const startedAt = this.env.clock.now();
    const answer = await this.http.request("GET", path, { etag, signal });
    this.stats.roundTripMs = this.env.clock.now() - startedAt;
    return answer;
  }

  /** @param {string} path @param {string} etag @param {AbortSignal} signal */
  async #askAndHold(path, etag, signal) {
    const startedAt = this.env.clock.now();
    const waiting = `${path}${path.includes("?") ? "&" : "?"}wait=${HOLD_S}`;
    this.#held = true;
    try {
      const answer = await this.http.request("GET", waiting, { etag, signal, deadlineMs: HOLD_S * 1000 + ANSWER_MS });
      // Some proxies answer a 200 with what is known already, so the ETag is looked at too.
      const news = answer.status !== 304 && answer.etag !== etag;
      if (this.env.clock.now() - startedAt >= HELD_MS) this.#gotThrough();
      else if (!news) this.#missed();
      return answer;
    } catch (error) {
      if (!signal.aborted) this.#missed();
      throw error;
    } finally {
      this.#held = false;
    }
  }

  #gotThrough() {
    this.#proven = true;
    this.#misses = 0;
  }

  /**
   * An instance that stops lets go of what it holds. Where polls have been held before, one that is not says
   * nothing yet of the way; where none was, or when it comes again, there is something between.
   */
  #missed() {
    this.#misses += 1;
    if (this.#proven && this.#misses === 1) return;
    this.#proven = false;
    this.#misses = 0;
    this.#plainUntil = this.env.clock.now() + PLAIN_MS;
  }
}
