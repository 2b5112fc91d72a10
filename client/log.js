// @ts-check
/**
 * What is held of one room's log: messages by id, in order of `seq`, and the cursor.
 * It promises that everything up to `rev` is held (from `floor` on), and that an older state
 * never replaces a newer one. It may not ask anyone for anything: pure data.
 */

/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Page} Page */

export class Log {
  /** @type {Map<string, Message>} */
  #byId = new Map();
  /** @type {Message[]} by seq; those below the floor are kept for their newer state, not shown */
  #sorted = [];

  /** The cursor, or null while nothing is held. */
  rev = /** @type {number|null} */ (null);
  history = /** @type {string|null} */ (null);
  /** The highest revision heard of, from whatever source. */
  head = 0;
  /** From this seq on the list is without a hole. */
  floor = /** @type {number|null} */ (null);
  hasMore = false;
  /** The first message that the service keeps. */
  oldest = 1;
  /** Grows when everything is dropped: an answer asked for in an earlier epoch is worth nothing. */
  epoch = 0;

  /** Everything up to the highest revision heard of is held. */
  get complete() {
    return this.rev !== null && this.rev >= this.head;
  }

  get messages() {
    return this.floor === null ? [] : this.#sorted.slice(this.#place(this.floor));
  }

  get lastSeq() {
    return this.#sorted.at(-1)?.seq ?? 0;
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id);
  }

  reset() {
    this.#byId.clear();
    this.#sorted = [];
    this.rev = this.history = this.floor = null;
    this.head = 0;
    this.hasMore = false;
    this.oldest = 1;
    this.epoch += 1;
  }

  /** @param {number} rev */
  hearOf(rev) {
    if (rev > this.head) this.head = rev;
  }

  /** Upsert without moving the cursor: an `ok`, a 2xx, a page of the past. @param {Message[]} messages */
  merge(messages) {
    for (const message of messages) this.#upsert(message);
  }

  /** The newest page. @param {Page} page */
  takeNewest({ messages, rev, history, hasMore, oldestSeq }) {
    this.trim(oldestSeq);
    this.merge(messages);
    this.hearOf(rev);
    // A newest page says nothing of changes further back, so it can begin a log but not continue one.
    if (this.rev !== null) return;
    this.rev = rev;
    this.history = history ?? this.history;
    this.floor = messages[0]?.seq ?? this.oldest;
    this.hasMore = hasMore ?? this.floor > this.oldest;
  }

  /**
   * What changed after `since`.
   * @param {number} since @param {Page} page
   */
  takeChanges(since, { messages, rev, history, oldestSeq }) {
    this.trim(oldestSeq);
    this.merge(messages);
    this.hearOf(rev);
    if (this.rev === null || this.rev < since) return;
    this.rev = Math.max(this.rev, rev);
    this.history = history ?? this.history;
  }

  /** The page before the floor. @param {number} before @param {Page} page */
  takeEarlier(before, { messages, hasMore, oldestSeq }) {
    this.trim(oldestSeq);
    this.merge(messages);
    if (this.floor !== before) return;
    this.floor = Math.max(messages[0]?.seq ?? before, this.oldest);
    this.hasMore = hasMore === true && messages.length > 0 && this.floor > this.oldest;
  }

  /** The service keeps nothing before this message any more, and nor is it kept here. @param {number} [oldestSeq] */
  trim(oldestSeq = 1) {
    if (oldestSeq <= this.oldest) return;
    this.oldest = oldestSeq;
    for (const { id } of this.#sorted.splice(0, this.#place(oldestSeq))) this.#byId.delete(id);
    if (this.floor === null || this.floor > oldestSeq) return;
    this.floor = oldestSeq;
    this.hasMore = false;
  }

  /** Lets go of all but the newest; whoever pages back is given them again. @param {number} count */
  keepNewest(count) {
    const { messages } = this;
    if (messages.length <= count) return false;
    this.floor = messages[messages.length - count].seq;
    const dropped = this.#sorted.splice(0, this.#place(this.floor));
    for (const { id } of dropped) this.#byId.delete(id);
    this.hasMore = true;
    return true;
  }

  /**
   * A message as it is pushed. `hole` when something before it was missed: it is held, the cursor stays.
   * @param {Message} message @returns {"next"|"known"|"hole"}
   */
  takeLive(message) {
    this.hearOf(message.rev);
    if (this.rev === null) return "hole";
    if (message.rev <= this.rev) return "known";
    this.#upsert(message);
    if (message.rev > this.rev + 1) return "hole";
    this.rev = message.rev;
    return "next";
  }

  /** @param {Message} message */
  #upsert(message) {
    // Asked for before it was removed, and answered after.
    if (message.seq < this.oldest) return;
    const held = this.#byId.get(message.id);
    if (held !== undefined && held.rev >= message.rev) return;
    this.#byId.set(message.id, message);
    const place = this.#place(message.seq);
    this.#sorted.splice(place, held === undefined ? 0 : 1, message);
  }

  /** Where this seq is or belongs. @param {number} seq */
  #place(seq) {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
