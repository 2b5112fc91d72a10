// @ts-check
/**
 * Requests to the service: the token, one renewal on 401, deadlines, errors as `ChatError`, bytes counted.
 * It may not repeat a request for any other reason; that is the caller's to decide.
 */
import { ChatError, errorDetails } from "./error.js";

const DEADLINE_MS = 15_000;
const utf8 = new TextEncoder();

/** @param {string} text */
export const byteLength = (text) => utf8.encode(text).length;

/**
 * @typedef {{ body?: object, etag?: string|null, signal?: AbortSignal, deadlineMs?: number }} RequestOptions
 * @typedef {{ status: number, body: any, etag: string|null }} Answer
 */

export class Http {
  /**
   * @param {object} options
   * @param {string} options.baseUrl
   * @param {import("./types.js").Environment} options.env
   * @param {import("./token.js").Token} options.token
   * @param {import("./types.js").Stats} options.stats
   * @param {(error: ChatError) => void} options.onRefused  the caller is, with a renewed token too
   */
  constructor({ baseUrl, env, token, stats, onRefused }) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.env = env;
    this.token = token;
    this.stats = stats;
    this.onRefused = onRefused;
    this.closed = false;
  }

  /**
   * @param {string} method
   * @param {string} path  beginning with a slash, below the base URL
   * @param {RequestOptions} [options]
   * @returns {Promise<Answer>} a 2xx or a 304; everything else is thrown
   */
  async request(method, path, options = {}) {
    if (this.closed) throw new ChatError("closed", "the connection is closed");
    const token = await this.#token(() => this.token.current());
    let response = await this.#once(method, path, options, token);
    if (response.status === 401 && !this.token.usesCookie) {
      const renewed = await this.#token(() => this.token.renew(token));
      if (renewed !== null && renewed !== token) response = await this.#once(method, path, options, renewed);
    }
    const error = failure(response, this.env.clock.now());
    if (error === null) return { status: response.status, body: parse(response.text), etag: response.etag };
    if (error.refusesCaller) this.onRefused(error);
    throw error;
  }

  /** @param {() => Promise<string|null>} ask */
  async #token(ask) {
    try {
      return await ask();
    } catch (cause) {
      throw new ChatError("network", `no token: ${cause instanceof Error ? cause.message : cause}`);
    }
  }

  /**
   * @param {string} method @param {string} path @param {RequestOptions} options @param {string|null} token
   */
  async #once(method, path, { body, etag, signal, deadlineMs = DEADLINE_MS }, token) {
    const { clock } = this.env;
    const abort = new AbortController();
    const timer = clock.setTimeout(() => abort.abort(), deadlineMs);
    const stop = () => abort.abort();
    signal?.addEventListener("abort", stop);
    /** @type {Record<string, string>} */
    const headers = {};
    if (token !== null) headers.authorization = `Bearer ${token}`;
    if (etag) headers["if-none-match"] = etag;
    if (body !== undefined) headers["content-type"] = "application/json";
    const payload = body === undefined ? undefined : JSON.stringify(body);
    try {
      if (signal?.aborted) abort.abort();
      this.stats.bytesOut += payload === undefined ? 0 : byteLength(payload);
      const response = await this.env.fetch(this.baseUrl + path, {
        method,
        headers,
        body: payload,
        cache: cacheMode(method, etag),
        credentials: this.token.usesCookie ? "include" : "same-origin",
        signal: abort.signal,
      });
      const text = await response.text();
      this.stats.bytesIn += byteLength(text);
      return {
        status: response.status,
        etag: response.headers.get("etag"),
        retryAfter: response.headers.get("retry-after"),
        date: response.headers.get("date"),
        text,
      };
    } catch (cause) {
      const detail = abort.signal.aborted ? "the service did not answer in time" : "the service cannot be reached";
      throw new ChatError("network", detail, { cause });
    } finally {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
}

/**
 * The browser's own cache must neither turn a 304 into the old 200 nor answer by itself. "no-store" says so, but makes
 * browsers ask a service of another origin for its permission (a preflight) before each call. With a tag of our own, or
 * a method that changes things, the cache is passed by in the other modes as well, and permission is asked for once.
 * @param {string} method @param {string|null|undefined} etag @returns {RequestCache}
 */
function cacheMode(method, etag) {
  if (method !== "GET") return "default";
  return etag ? "force-cache" : "no-store";
}

/** @param {string} text */
function parse(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    // A captive portal answers 200 with a page of its own: that is no answer of the service.
    throw new ChatError("network", "the answer is not the service's");
  }
}

/** @param {{ status: number, retryAfter: string|null, date: string|null, text: string }} response @param {number} now @returns {ChatError|null} */
function failure({ status, retryAfter, date, text }, now) {
  if ((status >= 200 && status < 300) || status === 304) return null;
  let problem = /** @type {any} */ (null);
  try {
    problem = JSON.parse(text);
  } catch {
    // Whatever stands between may answer in its own words.
  }
  return new ChatError(
    problem?.code ?? (status === 401 ? "unauthenticated" : `http_${status}`),
    problem?.detail ?? `the request was answered ${status}`,
    { status, retryAfterMs: waitFor(retryAfter ?? "", Date.parse(date ?? "") || now), details: errorDetails(problem) },
  );
}

/**
 * `Retry-After` names seconds or, as proxies do, a date: one of the clock that the answer's own date is of, where it tells it.
 * What is over already is no time to wait, and leaves it to the back-off.
 * @param {string} retryAfter @param {number} now @returns {number|null}
 */
function waitFor(retryAfter, now) {
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(/GMT$/.test(retryAfter) ? retryAfter : "") - now;
  return ms > 0 ? ms : null;
}
