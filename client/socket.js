// @ts-check
/**
 * One WebSocket from its opening to its end: frames in and out, replies matched by id, liveness.
 * It promises exactly one `onEnd`, after which nothing else is called and every open request is refused.
 * It may not come back by itself: that is the connection's.
 */
import { ChatError, errorDetails } from "./error.js";
import { byteLength } from "./http.js";

/** How long a ping may stay unanswered, whatever the service sends counting as an answer. */
const PONG_MS = 10_000;
/** And that of a page that comes back: its socket may have died in its absence, and somebody looks at it. */
const PROBE_MS = 3000;

/** What a page sees of the service closing, in the words of the protocol. */
const REASONS = /** @type {Record<number, string>} */ ({
  4001: "unauthenticated",
  4003: "forbidden",
  4004: "revoked",
  4005: "suspended",
  4100: "overloaded",
  4101: "token_expired",
  4102: "rate_limited",
  4103: "too_many_connections",
  4104: "auth_timeout",
  4105: "heartbeat_timeout",
  4106: "disconnected",
  4200: "drain",
  4201: "history_changed",
});

/**
 * @typedef {{ code: number, reason: string }} End
 * @typedef {object} SocketEvents
 * @property {(welcome: any) => void} onWelcome
 * @property {(frame: any) => void} onFrame
 * @property {() => void} onActivity  bytes or the round trip changed
 * @property {(end: End) => void} onEnd
 */

export class Socket {
  #nextId = 1;
  /** @type {Map<number, { resolve: (reply: any) => void, reject: (error: ChatError) => void, onReply?: (reply: any) => void }>} */
  #requests = new Map();
  #ended = false;
  #heartbeatMs = 25_000;
  /** @type {number|null} */
  #pingedAt = null;
  /** @type {any} */
  #nextPing = null;
  /** @type {any} */
  #death = null;
  #deathAt = Infinity;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {string|null} options.token
   * @param {import("./types.js").Environment} options.env
   * @param {import("./types.js").Stats} options.stats
   * @param {SocketEvents} options.events
   */
  constructor({ url, token, env, stats, events }) {
    this.env = env;
    this.stats = stats;
    this.events = events;
    this.welcomed = false;
    const protocols = token === null ? ["tidings.v1"] : ["tidings.v1", `bearer.${token}`];
    const Opener = /** @type {typeof WebSocket} */ (env.WebSocket);
    this.ws = new Opener(url, protocols);
    this.ws.onmessage = ({ data }) => this.#hear(data);
    this.ws.onclose = ({ code, reason }) => this.#end({ code, reason: reason || REASONS[code] || "the socket was cut" });
  }

  /**
   * @param {object} frame
   * @param {(reply: any) => void} [onReply]  called before the next frame is looked at, as a promise is not
   * @returns {Promise<any>} its reply
   */
  request(frame, onReply) {
    if (this.#ended || !this.welcomed) return Promise.reject(new ChatError("disconnected", "there is no live socket"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject, onReply });
      this.send({ ...frame, id });
    });
  }

  /** @param {object} frame */
  send(frame) {
    if (this.#ended) return;
    const text = JSON.stringify(frame);
    this.stats.framesOut += 1;
    this.stats.bytesOut += byteLength(text);
    this.ws.send(text);
  }

  /**
   * Asks for a sign of life now; anything heard is one. The deadline is armed by a ping only: timers of
   * hidden pages run late, and a late timer must not take a healthy socket for a dead one.
   */
  ping(patienceMs = PONG_MS) {
    if (this.#ended || !this.welcomed) return;
    const { clock } = this.env;
    this.#pingedAt = clock.now();
    this.send({ type: "ping" });
    clock.clearTimeout(this.#nextPing);
    this.#nextPing = clock.setTimeout(() => this.ping(), this.#heartbeatMs);
    if (this.#deathAt <= clock.now() + patienceMs) return;
    clock.clearTimeout(this.#death);
    this.#deathAt = clock.now() + patienceMs;
    this.#death = clock.setTimeout(() => this.end("nothing was heard in time"), patienceMs);
  }

  /** Is it alive, now? An older deadline that has passed meanwhile says nothing: the page may have slept. */
  probe() {
    if (this.#deathAt <= this.env.clock.now()) this.#deathAt = Infinity;
    this.ping(PROBE_MS);
  }

  /** @param {string} reason  why we end it; the service is told it is a normal close */
  end(reason) {
    if (this.#ended) return;
    this.ws.close(1000);
    this.#end({ code: 1000, reason });
  }

  /** @param {unknown} data */
  #hear(data) {
    if (this.#ended || typeof data !== "string") return;
    this.stats.framesIn += 1;
    this.stats.bytesIn += byteLength(data);
    this.env.clock.clearTimeout(this.#death);
    this.#deathAt = Infinity;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.end("a frame was not JSON");
    }
    this.#take(frame);
    if (!this.#ended) this.events.onActivity();
  }

  /** @param {any} frame */
  #take(frame) {
    if (frame.type === "welcome") {
      this.welcomed = true;
      this.#heartbeatMs = frame.heartbeatMs || this.#heartbeatMs;
      this.events.onWelcome(frame);
      this.ping();
      return;
    }
    if (frame.type === "pong" && frame.id === undefined) return this.#pong();
    const request = frame.id === undefined ? undefined : this.#requests.get(frame.id);
    if (request === undefined) return this.events.onFrame(frame);
    this.#requests.delete(frame.id);
    if (frame.type === "error") {
      const more = { retryAfterMs: frame.retryAfterMs ?? null, details: errorDetails(frame) };
      request.reject(new ChatError(frame.code, frame.detail, more));
    } else {
      request.onReply?.(frame);
      request.resolve(frame);
    }
  }

  #pong() {
    if (this.#pingedAt === null) return;
    this.stats.roundTripMs = this.env.clock.now() - this.#pingedAt;
    this.#pingedAt = null;
  }

  /** @param {End} end */
  #end(end) {
    if (this.#ended) return;
    this.#ended = true;
    this.env.clock.clearTimeout(this.#nextPing);
    this.env.clock.clearTimeout(this.#death);
    this.ws.onmessage = this.ws.onclose = null;
    for (const { reject } of this.#requests.values()) {
      reject(new ChatError("disconnected", "the socket ended before the reply"));
    }
    this.#requests.clear();
    this.events.onEnd(end);
  }
}
