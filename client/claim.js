// @ts-check
/**
 * Whose the kept messages of a room are: the page's that wrote them, for as long as it has the room open. Meanwhile it
 * holds a lock named after itself, and its name is kept with each message; who gets that lock may take over what was left.
 * It promises that a message is never two pages' at once where there are locks. It may hold nothing up: what the store or the
 * locks refuse is done without.
 */

/** Sends wait for what an earlier page left behind, to go after it; but not for a database that does not answer. */
const LOAD_MS = 2000;
/** A page so young may be the one before, loaded again: it shows what was refused there, too. */
const YOUNG_MS = 5000;

/** @typedef {import("./types.js").KeptMessage} KeptMessage */
/** @typedef {Omit<KeptMessage, "owner">} Writing */

export class Claim {
  /** Others have been met, and their locks are had or waited for. @type {Set<string>} */
  #met = new Set();
  #ending = new AbortController();
  #release = () => {};
  /** The lock is had, or is not to be had here. @type {Promise<void>} */
  #own;
  /** @type {Promise<void>} settles with the last write asked for */
  #written = Promise.resolve();

  /**
   * @param {object} options
   * @param {import("./outbox-store.js").Kept} options.kept
   * @param {string} options.roomId
   * @param {(left: KeptMessage[]) => void} options.take  what others left is this page's now
   */
  constructor({ kept, roomId, take }) {
    this.kept = kept;
    this.roomId = roomId;
    this.take = take;
    this.env = kept.env;
    this.owner = this.env.uuid();
    this.#met.add(this.owner);
    this.openedAt = this.env.clock.now();
    this.locks = this.env.locks;
    this.#own = this.#hold();
    /** What there was to take at once is taken, or did not come in time. */
    this.ready = this.#begin();
  }

  /** Others may be at what they left, for there are no locks to tell. */
  get shared() {
    return this.locks === undefined;
  }

  /** @param {Writing} message @returns {Promise<void>} never rejects */
  put(message) {
    const write = async () => {
      await this.kept.put(this.roomId, { ...message, owner: this.owner });
      this.kept.tell(this.roomId, this.owner);
    };
    return (this.#written = this.#own.then(write).catch(() => {}));
  }

  /** @param {string} id */
  remove(id) {
    this.#written = this.#own.then(() => this.kept.remove(this.roomId, id)).catch(() => {});
  }

  /** @param {string} id @returns {Promise<KeptMessage|null|undefined>} null: it is gone; undefined: nobody knows */
  async find(id) {
    const rows = await this.#inTime(this.kept.load(this.roomId)).catch(() => undefined);
    return rows && (rows.find((row) => row.id === id) ?? null);
  }

  /** Another page writes in this room: should it go, what it leaves is taken over. @param {string} owner */
  meet(owner) {
    void this.#claim(owner).then((left) => left.length > 0 && this.take(left), () => {});
  }

  /** What is not sent is anybody's from now on. */
  close() {
    this.#ending.abort();
    this.kept.shut(this);
    void Promise.all([this.#written, this.kept.cleared]).then(() => this.#release());
  }

  #hold() {
    const { locks } = this;
    if (locks === undefined) return Promise.resolve();
    return new Promise((/** @type {(held: void) => void} */ held) => {
      const hold = () => {
        held();
        return this.#ending.signal.aborted ? undefined : new Promise((release) => (this.#release = () => release(null)));
      };
      locks.request(lockOf(this.owner), { signal: this.#ending.signal }, hold).catch(() => {
        // Refused where it is asked from, they are as good as none.
        if (!this.#ending.signal.aborted) this.locks = undefined;
        held();
      });
    });
  }

  async #begin() {
    await this.kept.user;
    await this.#inTime(this.#takeLeft().catch(() => {}));
  }

  async #takeLeft() {
    await this.#own;
    const rows = await this.kept.load(this.roomId);
    if (this.locks === undefined) return this.take(rows.sort(byPlace));
    const left = await Promise.all([...new Set(rows.map(({ owner }) => owner))].map((owner) => this.#claim(owner)));
    this.take(left.flat().sort(byPlace));
  }

  /** What another page left, if it is gone; else its end is waited for. @param {string} owner @returns {Promise<KeptMessage[]>} */
  async #claim(owner) {
    if (this.locks === undefined || this.#met.has(owner)) return [];
    this.#met.add(owner);
    const left = await this.locks.request(lockOf(owner), { ifAvailable: true }, (lock) => lock && this.#takeOver(owner));
    if (left !== null) return left;
    const wait = async () => this.take(await this.#takeOver(owner));
    this.locks.request(lockOf(owner), { signal: this.#ending.signal }, wait).catch(() => {});
    return [];
  }

  /**
   * Its lock is held here meanwhile. What was refused waits for a page that its user opens: no other is to show it.
   * @param {string} owner
   */
  async #takeOver(owner) {
    const rows = await this.kept.load(this.roomId);
    const isYoung = this.env.clock.now() - this.openedAt < YOUNG_MS;
    const left = rows.filter((row) => row.owner === owner && (isYoung || row.error === null));
    await Promise.all(left.map((row) => this.put(row)));
    return left.sort(byPlace);
  }

  /** @template T @param {Promise<T>} answer @returns {Promise<T|undefined>} */
  async #inTime(answer) {
    const { clock } = this.env;
    /** @type {any} */
    let timer;
    const late = new Promise((/** @type {(late: undefined) => void} */ done) => {
      timer = clock.setTimeout(() => done(undefined), LOAD_MS);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clock.clearTimeout(timer);
    }
  }
}

/** @param {string} owner */
const lockOf = (owner) => `tidings outbox ${owner}`;

/** @param {KeptMessage} a @param {KeptMessage} b */
const byPlace = (a, b) => a.place - b.place;
