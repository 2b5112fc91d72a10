// @ts-check
/**
 * The caller's token: asked for once, kept, asked for again before it runs out or when refused.
 * It promises one `getToken` at a time, and never puts a token anywhere but in memory.
 */

/** A token this close to its end is not worth a request. */
const MARGIN_MS = 30_000;

export class Token {
  /** @type {string|null} */
  #value = null;
  /** @type {Promise<string|null>|null} */
  #asking = null;

  /**
   * @param {import("./types.js").GetToken|undefined} getToken  absent: the session cookie speaks for the caller
   * @param {import("./types.js").Clock} clock
   */
  constructor(getToken, clock) {
    this.getToken = getToken;
    this.clock = clock;
  }

  get usesCookie() {
    return this.getToken === undefined;
  }

  /** The token held, without asking for one. */
  get held() {
    return this.#value;
  }

  /** @returns {Promise<string|null>} null: the application has none to give */
  async current() {
    if (this.usesCookie) return null;
    if (this.#value === null) return this.#ask(false);
    const left = this.millisecondsLeft();
    return left !== null && left < MARGIN_MS ? this.#ask(true) : this.#value;
  }

  /**
   * Another token than the one given; whoever comes second gets what the first was given.
   * @param {string|null} refused
   */
  async renew(refused) {
    if (this.usesCookie) return null;
    if (this.#value !== null && this.#value !== refused) return this.#value;
    return this.#ask(true);
  }

  /** @returns {number|null} null when the token does not say */
  millisecondsLeft() {
    const expiresAt = this.#value === null ? null : expiry(this.#value);
    return expiresAt === null ? null : expiresAt - this.clock.now();
  }

  /** @param {boolean} renew */
  #ask(renew) {
    this.#asking ??= this.#fetch(renew).finally(() => (this.#asking = null));
    return this.#asking;
  }

  /** @param {boolean} renew */
  async #fetch(renew) {
    this.#value = (await this.getToken?.({ renew })) || null;
    return this.#value;
  }
}

/** @param {string} token @returns {any} never to trust; nothing when it cannot be read */
function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))) ?? {};
  } catch {
    return {};
  }
}

/** @param {string} token @returns {number|null} its `exp` in milliseconds, to renew in time */
function expiry(token) {
  const { exp } = claims(token);
  return typeof exp === "number" ? exp * 1000 : null;
}

/** @param {string} token @returns {string|null} whom it speaks for, where it says so to everyone */
export function subject(token) {
  const { sub } = claims(token);
  return typeof sub === "string" ? sub : null;
}
