// @ts-check
/**
 * Who is in the room just now: typing and online. Best effort by contract, so nothing waits for it
 * and no failure of it is anybody's error.
 */

const TYPING_EVERY_MS = 3000;
const TYPING_TTL_MS = 6000;
const PRESENCE_EVERY_MS = 30_000;

export class Attendance {
  /** @type {Map<string, any>} user id to the timer that ends it */
  #typing = new Map();
  /** @type {Set<string>} */
  #online = new Set();
  #typedAt = -Infinity;
  #refreshedAt = -Infinity;
  #closed = false;
  /** How many are online where the service does not say who. @type {number|null} */
  #uncounted = null;
  /** @type {any} */
  #next = null;
  /** Who came or went while the answer of who is online was under way. @type {Map<string, boolean>} */
  #meanwhile = new Map();

  /**
   * @param {{ link: import("./types.js").Link, roomId: string, path: string, onChange: () => void }} options
   */
  constructor({ link, roomId, path, onChange }) {
    this.link = link;
    this.roomId = roomId;
    this.path = path;
    this.onChange = onChange;
  }

  get typing() {
    return [...this.#typing.keys()];
  }

  get online() {
    return [...this.#online];
  }

  get onlineCount() {
    return this.#uncounted ?? this.#online.size;
  }

  sendTyping() {
    const now = this.link.env.clock.now();
    if (now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    if (this.link.isLive()) this.link.send({ type: "typing", roomId: this.roomId });
    else this.link.http.request("POST", `${this.path}/typing`).catch(() => {});
  }

  /** What was typed has been sent; the next key is news again. */
  wrote() {
    this.#typedAt = -Infinity;
  }

  /** @param {any} frame */
  take(frame) {
    if (frame.type === "typing" && frame.userId !== this.link.myId()) this.#types(frame.userId, frame.ttlMs);
    if (frame.type !== "presence") return;
    this.#meanwhile.set(frame.userId, frame.online);
    this.#comesOrGoes(frame.userId, frame.online);
    this.onChange();
  }

  /** Who wrote a new message types no more. @param {import("./types.js").Message} message */
  arrived({ senderId, editedAt }) {
    if (senderId !== null && editedAt === null) this.#ends(senderId);
  }

  /** Asks who is online: frames tell changes only, and a poll tells nothing of it. */
  async refresh({ force = false } = {}) {
    const now = this.link.env.clock.now();
    const due = !this.link.env.visibility.hidden() && now - this.#refreshedAt >= PRESENCE_EVERY_MS;
    if (!due && !force) return;
    this.#refreshedAt = now;
    this.#meanwhile.clear();
    try {
      const { body } = await this.link.http.request("GET", `${this.path}/presence`);
      if (this.#closed) return;
      this.#online = new Set(body.online);
      this.#count(body);
      for (const [userId, online] of this.#meanwhile) this.#comesOrGoes(userId, online);
      this.onChange();
    } catch {
      this.#refreshedAt = -Infinity;
    }
  }

  close() {
    this.#closed = true;
    this.link.env.clock.clearTimeout(this.#next);
    for (const timer of this.#typing.values()) this.link.env.clock.clearTimeout(timer);
    this.#typing.clear();
  }

  /** @param {{ online: string[], count: number }} presence */
  #count({ online, count }) {
    this.link.env.clock.clearTimeout(this.#next);
    this.#uncounted = count > online.length ? count : null;
    if (this.#uncounted !== null) this.#askAgain();
  }

  /** Of a big room no frames tell who comes and goes. */
  #askAgain() {
    this.#next = this.link.env.clock.setTimeout(() => {
      this.#askAgain();
      void this.refresh();
    }, PRESENCE_EVERY_MS);
  }

  /** @param {string} userId @param {boolean} online */
  #comesOrGoes(userId, online) {
    if (online) this.#online.add(userId);
    else this.#online.delete(userId);
  }

  /** @param {string} userId @param {number} [ttlMs] */
  #types(userId, ttlMs = TYPING_TTL_MS) {
    const { clock } = this.link.env;
    clock.clearTimeout(this.#typing.get(userId));
    this.#typing.set(userId, clock.setTimeout(() => this.#ends(userId), ttlMs));
    this.onChange();
  }

  /** @param {string} userId */
  #ends(userId) {
    if (!this.#typing.has(userId)) return;
    this.link.env.clock.clearTimeout(this.#typing.get(userId));
    this.#typing.delete(userId);
    this.onChange();
  }
}
