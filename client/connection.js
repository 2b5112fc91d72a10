// @ts-check
/**
 * The transport's state machine: a socket when there can be one, polls while there is none.
 * It promises that one of the two is always being tried until `closed`, and that `closed` is for good. A service that
 * stops says so in time: the next socket is there before the last one is left, and nobody notices.
 * It may not know what a room is: it tells `onLive`, `onDown`, `onFrame`, and runs the poller.
 */
import { Backoff } from "./backoff.js";
import { Observable } from "./observable.js";
import { Socket } from "./socket.js";
import { asChatError, ChatError } from "./error.js";

/** @typedef {import("./figures.js").Figures} Figures */

/** Without a welcome by then, polls begin; the socket goes on trying. */
const WELCOME_MS = 2500;
/** Without a welcome by then, this attempt is given up. */
const OPEN_MS = 10_000;
const STABLE_MS = 10_000;
const RENEW_BEFORE_MS = 60_000;
/** For good, unless the application has another token: it is asked once. */
const TOKEN_REFUSED = [4001, 4004];
/** Somebody on the way breaks the protocol, and would again: polls go on, and a socket is seldom tried. */
const PROTOCOL_BROKEN = [1002, 1003, 1007, 1009];
const BROKEN_MS = 10 * 60_000;
/** Timers hold 31 bits. */
const LONGEST_MS = 2_000_000_000;

/** @typedef {import("./types.js").ConnectionSnapshot} ConnectionSnapshot */
/** @typedef {import("./socket.js").End} End */

/**
 * @typedef {object} Hooks
 * @property {(welcome: any, goesOn: boolean) => Promise<unknown>} onLive  resolves once all is asked for anew; `goesOn`:
 *   what was asked for on the last socket goes on until then
 * @property {() => void} onDown
 * @property {(frame: any) => void} onFrame
 * @property {() => void} onClosed
 */

/** @extends {Observable<ConnectionSnapshot>} */
export class Connection extends Observable {
  /** The one in use, and the one that is being opened. @type {Socket|null} */
  #live = null;
  /** @type {Socket|null} */
  #next = null;
  /** All that have not ended, with those that are being left. @type {Set<Socket>} */
  #sockets = new Set();
  #enabled = true;
  #closed = false;
  /** @type {"off"|"trying"|"answered"|"failing"} */
  #polls = "off";
  /** Why there is no socket, and why the last poll failed. */
  #reason = /** @type {string|null} */ (null);
  #pollReason = /** @type {string|null} */ (null);
  #attempt = 0;
  /** The service wants no socket sooner, or it would be of no use. */
  #waitUntil = 0;
  /** The token was refused on a socket that had not said welcome: once is a reason to renew, twice to end. */
  #refused = 0;
  #timers = /** @type {Record<string, any>} */ ({});
  #stopWatching = () => {};
  /** As it was last told. @type {ConnectionSnapshot} */
  #told = { status: "connecting", reason: null };

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {import("./types.js").Environment} options.env
   * @param {import("./token.js").Token} options.token
   * @param {Figures} options.figures
   * @param {Hooks} options.hooks
   */
  constructor({ url, env, token, figures, hooks }) {
    super();
    this.url = url;
    this.env = env;
    this.token = token;
    this.figures = figures;
    this.stats = figures.stats;
    this.hooks = hooks;
    this.backoff = new Backoff({ baseMs: 500, maxMs: 20_000, random: env.random });
    /** @type {import("./poller.js").Poller|null} */
    this.poller = null;
  }

  /** @protected @returns {ConnectionSnapshot} */
  build() {
    const status = this.#status();
    return { status, reason: status === "offline" ? this.#pollReason : this.#reason };
  }

  /** @protected */
  changed() {
    const { status, reason } = this.build();
    if (status === this.#told.status && reason === this.#told.reason) return;
    this.#told = { status, reason };
    super.changed();
  }

  get isLive() {
    return this.#live !== null;
  }

  /** What is said goes out here; what went out elsewhere may arrive later. @returns {object|null} */
  get way() {
    return this.#live;
  }

  /** @param {import("./poller.js").Poller} poller @param {boolean} enabled  whether a socket may be used */
  start(poller, enabled) {
    this.poller = poller;
    this.#enabled = enabled && this.env.WebSocket !== undefined;
    this.#stopWatching = this.env.visibility.subscribe(() => this.#wake());
    if (this.#enabled) this.#open();
    else this.#poll(enabled ? "there are no WebSockets here" : "the socket is switched off");
  }

  /** @param {object} frame @param {(reply: any) => void} [onReply] @returns {Promise<any>} */
  request(frame, onReply) {
    if (this.#live !== null) return this.#live.request(frame, onReply);
    return Promise.reject(new ChatError("disconnected", "there is no live socket"));
  }

  /** @param {object} frame */
  send(frame) {
    this.#live?.send(frame);
  }

  /** Cuts the socket, or lets it come back. Polls go on either way. @param {boolean} on */
  useSocket(on) {
    if (this.#closed || on === this.#enabled || this.env.WebSocket === undefined) return;
    this.#enabled = on;
    this.backoff.reset();
    if (on) return this.#open();
    this.#attempt += 1;
    this.#stopTimers();
    const reason = "the socket is switched off";
    if (this.#sockets.size === 0) this.#poll(reason);
    this.#end(reason);
  }

  /** For good. @param {string} reason */
  close(reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.#attempt += 1;
    this.#stopTimers();
    this.#stopWatching();
    this.poller?.stop();
    this.#end(reason);
    this.#reason = reason;
    this.hooks.onClosed();
    this.changed();
  }

  onPolled() {
    this.#polls = "answered";
    this.changed();
  }

  /** @param {ChatError} error */
  onPollFailed(error) {
    if (error.code === "rate_limited") return;
    this.#polls = "failing";
    this.#pollReason = error.message;
    this.changed();
  }

  /** @returns {import("./types.js").Status} */
  #status() {
    if (this.#closed) return "closed";
    if (this.#live !== null) return "live";
    if (this.#polls === "answered") return "polling";
    return this.#polls === "failing" ? "offline" : "connecting";
  }

  async #open() {
    const attempt = ++this.#attempt;
    this.#stopTimers();
    if (this.#live === null) this.#after("welcome", WELCOME_MS, () => this.#poll("the socket has not answered yet"));
    this.#after("open", OPEN_MS, () => this.#giveUp());
    try {
      const token = await this.token.current();
      if (attempt !== this.#attempt) return;
      if (token === null && !this.token.usesCookie) return this.close("unauthenticated");
      /** @type {Socket} */
      const socket = new Socket({
        url: this.url,
        token,
        env: this.env,
        stats: this.stats,
        events: {
          onWelcome: (welcome) => this.#welcome(socket, welcome),
          onFrame: (frame) => this.#take(socket, frame),
          onActivity: () => this.figures.counted(),
          onEnd: (end) => this.#ended(socket, end),
        },
      });
      this.#sockets.add((this.#next = socket));
    } catch (error) {
      if (attempt === this.#attempt) this.#ended(null, { code: 0, reason: asChatError(error).message });
    }
  }

  #giveUp() {
    const reason = "the socket did not answer";
    if (this.#next !== null) return this.#next.end(reason);
    // Not even a token came.
    this.#attempt += 1;
    this.#ended(null, { code: 0, reason });
  }

  /** @param {Socket} socket @param {any} welcome */
  #welcome(socket, welcome) {
    const last = this.#live;
    this.#stopTimers();
    this.#live = socket;
    this.#next = null;
    this.#refused = 0;
    this.#waitUntil = 0;
    this.#polls = "off";
    this.#reason = null;
    this.poller?.stop();
    this.#after("stable", STABLE_MS, () => this.backoff.reset());
    this.#renewLater();
    const anew = this.hooks.onLive(welcome, last !== null);
    if (last !== null) void this.#leave(last, anew);
    this.changed();
  }

  /** It goes on until all is asked for anew, and what was asked of it is answered. @param {Socket} last @param {Promise<unknown>} anew */
  async #leave(last, anew) {
    await Promise.allSettled([anew, last.request({ type: "ping" })]);
    last.end("there is another");
  }

  /** @param {Socket} socket @param {any} frame */
  #take(socket, frame) {
    if (frame.type === "expiring") return void this.#renew();
    if (frame.type !== "drain") return this.hooks.onFrame(frame);
    if (socket !== this.#live) return;
    const wait = frame.reconnectInMs ?? 0;
    this.#waitUntil = this.env.clock.now() + wait;
    this.#after("drain", wait, () => this.#open());
  }

  /** @param {Socket|null} socket  null: there was not even one @param {End} end */
  #ended(socket, { code, reason }) {
    if (socket !== null) this.#sockets.delete(socket);
    const wasLive = socket !== null && socket === this.#live;
    if (socket !== this.#next && !wasLive) return;
    const opens = wasLive && this.#timers.open !== undefined;
    if (!opens) this.#stopTimers();
    if (wasLive) {
      this.#live = null;
      this.stats.drops += 1;
      this.figures.counted();
      this.hooks.onDown();
    } else {
      this.#next = null;
    }
    if (this.#closed) return;
    // The last one is there for as long as the service lets it; meanwhile another is tried.
    if (this.#live !== null) return this.#after("retry", this.backoff.next(), () => this.#open());
    const ofToken = TOKEN_REFUSED.includes(code) && !this.token.usesCookie && this.#refused === 0;
    if (code >= 4000 && code < 4100 && !ofToken) return this.close(reason);
    if (!this.#enabled || opens) return this.#poll(reason);
    if (code === 4101 || ofToken) {
      if ((this.#refused += 1) > 1) return this.close("token_expired");
      // A token that is refused for good is not worth a poll either.
      if (!ofToken) this.#poll(reason);
      return void this.#renewThenOpen(reason, ofToken);
    }
    this.#poll(reason);
    this.#after("retry", this.#delay(code), () => this.#open());
  }

  /** @param {number} code */
  #delay(code) {
    const now = this.env.clock.now();
    if (PROTOCOL_BROKEN.includes(code)) this.#waitUntil = now + BROKEN_MS;
    else if (code < 4200 || code >= 4300 || this.#waitUntil === 0) return this.backoff.next();
    return Math.max(0, this.#waitUntil - now);
  }

  /** @param {string} reason @param {boolean} needed  whether it is over without another token */
  async #renewThenOpen(reason, needed) {
    const attempt = ++this.#attempt;
    const refused = this.token.held;
    try {
      const token = await this.token.renew(refused);
      if (attempt !== this.#attempt) return;
      if (needed && (token === null || token === refused)) return this.close(reason);
    } catch {
      // No token to be had just now; opening asks again.
      if (attempt !== this.#attempt) return;
      this.#poll(reason);
    }
    this.#after("retry", this.backoff.next(), () => this.#open());
  }

  /** @param {string} reason */
  #poll(reason) {
    this.#reason = reason;
    if (this.#polls === "off") this.#polls = "trying";
    this.changed();
    this.poller?.start();
  }

  /** The page is in front again, or the network is back: nothing to wait for, but for what the service asked. */
  #wake() {
    if (this.#closed) return;
    if (this.#live !== null) return this.#live.probe();
    this.poller?.now();
    this.hasten();
  }

  /** Waits out no back-off, but for what the service asked. */
  hasten() {
    const waits = this.#timers.retry !== undefined && this.env.clock.now() >= this.#waitUntil;
    if (waits && this.#enabled) this.#open();
  }

  #renewLater() {
    const left = this.token.millisecondsLeft();
    if (left === null) return;
    // A token that lives shorter than the margin is renewed at half its life, not over and over.
    const wait = left > 2 * RENEW_BEFORE_MS ? left - RENEW_BEFORE_MS : left / 2;
    this.#after("renew", Math.max(1000, Math.min(wait, LONGEST_MS)), () => {
      if (wait > LONGEST_MS) this.#renewLater();
      else void this.#renew();
    });
  }

  /** Renews the session in place. Should it fail, the service closes with 4101 and that is met. */
  async #renew() {
    const socket = this.#live;
    try {
      const token = await this.token.renew(this.token.held);
      if (token === null || socket !== this.#live || socket === null) return;
      await socket.request({ type: "auth", token });
      this.#renewLater();
    } catch (cause) {
      const error = asChatError(cause);
      if (error.refusesCaller || error.code === "forbidden") this.close(error.code);
      else if (socket !== null && socket === this.#live) this.#after("renew", 5000, () => void this.#renew());
    }
  }

  /** @param {string} name @param {number} ms @param {() => void} run */
  #after(name, ms, run) {
    const { clock } = this.env;
    clock.clearTimeout(this.#timers[name]);
    this.#timers[name] = clock.setTimeout(() => {
      delete this.#timers[name];
      run();
    }, ms);
  }

  /** @param {string} reason */
  #end(reason) {
    for (const socket of [...this.#sockets]) socket.end(reason);
  }

  #stopTimers() {
    for (const timer of Object.values(this.#timers)) this.env.clock.clearTimeout(timer);
    this.#timers = {};
  }
}
