// @ts-check
/**
 * How far one has read in a room: moved forward at once, told to the service, and taken back if that refuses.
 * It promises to rest after a refusal, however often it is asked meanwhile: a page asks whenever something has changed,
 * and taking the position back is such a change.
 */
import { asChatError } from "./error.js";

const REST_MS = 2000;

/** @typedef {import("./types.js").Link} Link */

export class ReadPosition {
  /** @type {number|null} as far as it is known */
  seq = null;
  /** @type {unknown} the refusal it rests after */
  #refusal = null;
  /** @type {any} the end of the rest */
  #rest = null;

  /** @param {{ link: Link, roomId: string, path: string, onChange: () => void }} options */
  constructor({ link, roomId, path, onChange }) {
    this.link = link;
    this.roomId = roomId;
    this.path = path;
    this.onChange = onChange;
  }

  /** Only forward. @param {number} seq */
  hearOf(seq) {
    this.seq = Math.max(this.seq ?? 0, seq);
  }

  /** What was known belongs to a history that is over. */
  forget() {
    this.seq = null;
  }

  /** @param {number} seq */
  async mark(seq) {
    if (this.seq !== null && seq <= this.seq) return;
    if (this.#refusal !== null) throw this.#refusal;
    const before = this.seq;
    this.hearOf(seq);
    this.onChange();
    try {
      await this.link.perform({ type: "read", roomId: this.roomId, seq }, "POST", `${this.path}/read`, { seq });
    } catch (error) {
      if (this.seq === seq) this.seq = before;
      this.#restAfter(error);
      this.onChange();
      throw error;
    }
  }

  close() {
    this.link.env.clock.clearTimeout(this.#rest);
  }

  /** @param {unknown} error */
  #restAfter(error) {
    const { clock } = this.link.env;
    this.#refusal = error;
    clock.clearTimeout(this.#rest);
    this.#rest = clock.setTimeout(() => {
      this.#refusal = null;
      this.onChange();
    }, asChatError(error).retryAfterMs ?? REST_MS);
  }
}
