// @ts-check
/**
 * Full-jitter back-off: the n-th wait is anywhere between nothing and a ceiling that doubles,
 * so that clients cut off together do not come back together.
 */

export class Backoff {
  #attempts = 0;

  /** @param {{ baseMs: number, maxMs: number, random: () => number }} options */
  constructor({ baseMs, maxMs, random }) {
    this.baseMs = baseMs;
    this.maxMs = maxMs;
    this.random = random;
  }

  /** @returns {number} milliseconds to wait before the next attempt */
  next() {
    const ceiling = Math.min(this.maxMs, this.baseMs * 2 ** this.#attempts);
    this.#attempts += 1;
    return Math.round(this.random() * ceiling);
  }

  reset() {
    this.#attempts = 0;
  }
}
