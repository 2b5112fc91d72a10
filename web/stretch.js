// @ts-check
/**
 * Which of the messages held are in the page: a stretch of bounded length, at the end or where one reads back.
 * It knows places by `seq`, so that messages may come and go on both sides of it.
 */

/** At the end, and at most; what is added at a time while reading. */
const TAIL = 120;
const MOST = 300;
const STEP = 80;

/** @typedef {import("./client/types.js").Message} Message */

export class Stretch {
  /** The seq it begins with; null: the tail. */
  #first = /** @type {number|null} */ (null);
  /** The seq it ends with; null: the newest. */
  #last = /** @type {number|null} */ (null);

  /** It reaches to the newest message. */
  get isNewest() {
    return this.#last === null;
  }

  /** Always the tail. */
  follow() {
    this.#first = this.#last = null;
  }

  /** Stays where it is, whatever comes in. @param {Message[]} held */
  hold(held) {
    this.#first ??= held[this.#range(held).start]?.seq ?? null;
  }

  /** @param {Message[]} held @returns {{ messages: Message[], earlier: boolean, later: boolean }} */
  of(held) {
    const { start, end } = this.#range(held);
    if (this.#first !== null && end - start > MOST) {
      this.#last = held[start + MOST - 1].seq;
      return { messages: held.slice(start, start + MOST), earlier: start > 0, later: true };
    }
    return { messages: held.slice(start, end), earlier: start > 0, later: end < held.length };
  }

  /** Begins earlier. @param {Message[]} held @returns {boolean} false: nothing earlier is held */
  up(held) {
    const { start, end } = this.#range(held);
    if (start === 0) return false;
    const next = Math.max(0, start - STEP);
    this.#first = held[next].seq;
    if (end - next > MOST) this.#last = held[next + MOST - 1].seq;
    return true;
  }

  /** Ends later. @param {Message[]} held @returns {boolean} false: it reaches to the newest */
  down(held) {
    if (this.#last === null) return false;
    const { start, end } = this.#range(held);
    const next = Math.min(held.length, end + STEP);
    this.#last = next === held.length ? null : held[next - 1].seq;
    this.#first = held[Math.max(start, next - MOST)].seq;
    return true;
  }

  /** @param {Message[]} held */
  #range(held) {
    const end = this.#last === null ? held.length : before(held, this.#last + 1);
    const start = this.#first === null ? Math.max(0, end - TAIL) : before(held, this.#first);
    return { start, end };
  }
}

/** How many come before this seq. @param {Message[]} held @param {number} seq */
function before(held, seq) {
  let low = 0;
  let high = held.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (held[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
