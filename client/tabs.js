// @ts-check
/**
 * Many tabs, one socket: the tab that holds a lock leads and has it; the others' sockets are ends of it, over a
 * broadcast channel. It promises that a leader that is gone or does not answer is replaced within two seconds, and
 * that an end behaves like a WebSocket, which ends when its leader does: what comes back is up to who opened it.
 * Only tabs of the same user share. Where the browser lacks what it takes, each tab has a socket of its own.
 */
import { Switchboard } from "./switchboard.js";

/** A leader is asked so often whether it is there, and has so many chances to answer. */
const ASK_MS = 500;
const ASK_HIDDEN_MS = 5000;
const CHANCES = 2;
/** A tab that was not heard of for so long is gone; should it not be, it is told so when it asks. */
const FORGET_MS = 180_000;

/** @typedef {import("./types.js").TabLocks} TabLocks */
/** @typedef {import("./types.js").Environment} Environment */

/** One tab's end of the shared socket: as much of a WebSocket as is used. */
class End {
  /** @type {((event: { data: string }) => void)|null} */
  onmessage = null;
  /** @type {((event: { code: number, reason: string }) => void)|null} */
  onclose = null;
  closed = false;
  welcomed = false;

  /** @param {Tabs} tabs @param {string} url @param {string[]} protocols */
  constructor(tabs, url, protocols) {
    this.tabs = tabs;
    this.url = url;
    this.protocols = protocols;
    this.id = tabs.env.uuid();
    void tabs.open(this);
  }

  /** @param {string} text */
  send(text) {
    if (!this.closed) this.tabs.say(this, text);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.tabs.dropped(this);
  }

  /** @param {string} data */
  hear(data) {
    this.welcomed = true;
    if (!this.closed) this.onmessage?.({ data });
  }

  /** @param {number} code @param {string} reason */
  ended(code, reason) {
    if (this.closed) return;
    this.closed = true;
    this.tabs.forget(this);
    this.onclose?.({ code, reason });
  }
}

export class Tabs {
  /** @type {string|null} the group: a server and a user */
  #name = null;
  /** @type {import("./types.js").TabChannel|null} */
  #line = null;
  /** @type {Map<string, End>} */
  #ends = new Map();
  /** @type {Switchboard|null} while leading */
  #board = null;
  /** The one before, as long as ends of it have not moved to this one. @type {Switchboard|null} */
  #last = null;
  /** @type {{ id: string|null, term: number }} */
  #leader = { id: null, term: 0 };
  #unanswered = 0;
  /** @type {any} */
  #timer = null;
  #resign = () => {};
  #queued = new AbortController();
  /** The tabs that this one leads, when they were heard of, and their ends. @type {Map<string, { at: number, ends: Set<string> }>} */
  #led = new Map();

  /**
   * @param {object} options
   * @param {Environment} options.env
   * @param {(token: string|null) => Promise<string>} options.whose  whom the token speaks for
   * @param {() => void} options.onLive  there is a live socket to be had, or it is this tab's turn to make one
   */
  constructor({ env, whose, onLive }) {
    this.env = env;
    this.whose = whose;
    this.onLive = onLive;
    this.id = env.uuid();
    this.locks = /** @type {TabLocks} */ (env.locks);
    this.Real = /** @type {any} */ (env.WebSocket);
    const tabs = this;
    /** To be used in place of WebSocket. */
    this.WebSocket = /** @type {any} */ (
      class extends End {
        /** @param {string} url @param {string[]} protocols */
        constructor(url, protocols) {
          super(tabs, url, protocols);
        }
      }
    );
  }

  get leads() {
    return this.#board !== null;
  }

  /** Takes no further part: a tab that wants no socket must not lead. The next end joins again. */
  leave() {
    if (this.#name === null) return;
    this.#queued.abort();
    this.env.clock.clearTimeout(this.#timer);
    for (const end of [...this.#ends.values()]) end.ended(1006, "the tab left");
    this.#stopLeading("the leading tab left");
    this.#resign();
    this.#line?.close();
    this.#line = this.#name = null;
    this.#leader = { id: null, term: 0 };
  }

  // What its ends ask.

  /** @param {End} end */
  async open(end) {
    try {
      const token = end.protocols.find((name) => name.startsWith("bearer."))?.slice("bearer.".length) ?? null;
      const name = `tidings ${end.url} ${await this.whose(token)}`;
      if (end.closed) return;
      if (name !== this.#name) this.leave();
      this.#ends.set(end.id, end);
      if (this.#name === null) this.#join(name);
      else this.#attach(end);
    } catch {
      end.ended(1006, "it is not known whose socket it is");
    }
  }

  /** @param {End} end @param {string} text */
  say(end, text) {
    const frame = JSON.parse(text);
    if (this.#board !== null) this.#boardOf(end.id)?.say(end.id, text);
    else if (frame.type === "auth") void this.#renew(end, frame);
    else this.#post({ type: "say", to: this.#leader.id, end: end.id, text });
  }

  /**
   * The socket lives by the leading tab's token, and a token goes to no other tab; only whose it is counts here.
   * @param {End} end @param {{ id: unknown, token: string }} frame
   */
  async #renew(end, { id, token }) {
    try {
      if (this.#name !== `tidings ${end.url} ${await this.whose(token)}`) return end.ended(4003, "forbidden");
      end.hear(JSON.stringify({ type: "ok", id }));
    } catch {
      end.ended(1006, "it is not known whose socket it is");
    }
  }

  /** @param {End} end  its tab wants no more of it */
  dropped(end) {
    this.forget(end);
    if (this.#board !== null) this.#boardOf(end.id)?.detach(end.id);
    else this.#post({ type: "detach", to: this.#leader.id, end: end.id });
  }

  /** @param {End} end */
  forget(end) {
    this.#ends.delete(end.id);
  }

  // Who leads.

  /** @param {string} name */
  #join(name) {
    this.#name = name;
    this.#line = /** @type {(name: string) => import("./types.js").TabChannel} */ (this.env.openChannel)(name);
    this.#line.onmessage = ({ data }) => this.#hear(data);
    this.#unanswered = 0;
    this.#queue({});
    this.#ask();
  }

  /** Waits for the lock, or takes it from who does not answer. @param {{ steal?: true }} how */
  #queue(how) {
    const name = /** @type {string} */ (this.#name);
    this.#queued.abort();
    const queued = (this.#queued = new AbortController());
    const options = how.steal ? how : { signal: queued.signal };
    this.locks.request(name, options, () => (queued.signal.aborted ? undefined : this.#lead())).catch(() => {
      // Given up by this tab, or taken by another: then it may only follow.
      if (queued !== this.#queued || queued.signal.aborted) return;
      this.#stopLeading("another tab leads");
      this.#leader = { ...this.#leader, id: null };
      this.#queue({});
      this.#ask();
    });
  }

  /** @returns {Promise<void>} held as long as it leads */
  #lead() {
    const { clock } = this.env;
    clock.clearTimeout(this.#timer);
    this.#leader = { id: this.id, term: Math.max(this.#leader.term + 1, clock.now()) };
    this.#led.clear();
    this.#board = this.#newBoard();
    this.#post({ type: "leading", term: this.#leader.term });
    this.#regroup();
    // The others wait for its socket, so it waits for nothing.
    this.onLive();
    return new Promise((resign) => (this.#resign = resign));
  }

  #newBoard() {
    return new Switchboard({
      deliver: (ends, text) => this.#deliver(ends, text),
      close: (id, code, reason) => {
        const own = this.#ends.get(id);
        if (own !== undefined) own.ended(code, reason);
        else this.#post({ type: "end", end: id, code, reason });
      },
      onLive: () => {
        this.#post({ type: "live" });
        this.#last?.sendOn();
      },
    });
  }

  /** @param {string} end */
  #boardOf(end) {
    return [this.#board, this.#last].find((board) => board?.has(end));
  }

  /** @param {string} reason */
  #stopLeading(reason) {
    const board = this.#board;
    if (board === null) return;
    board.hangUp(reason);
    this.#last?.hangUp(reason);
    this.#board = this.#last = null;
    for (const end of [...this.#ends.values()]) end.ended(1006, reason);
  }

  /** Ends of another leader's socket are over; those that have heard nothing yet wait for the new one's. */
  #regroup() {
    for (const end of [...this.#ends.values()]) {
      if (end.welcomed) end.ended(1006, "the leading tab is gone");
      else this.#attach(end);
    }
  }

  /** @param {End} end */
  #attach(end) {
    if (this.#board !== null) this.#dial(this.#board, end);
    else if (this.#leader.id !== null) this.#post({ type: "attach", to: this.#leader.id, end: end.id });
  }

  /** One's own end wants a socket. If it has one, the others stay there until this one is live. @param {Switchboard} board @param {End} end */
  #dial(board, end) {
    if (board.isLive) {
      this.#last?.hangUp("another attempt was made");
      this.#last = board;
      board = this.#board = this.#newBoard();
    }
    board.dial(end.id, () => new this.Real(end.url, end.protocols));
  }

  #ask() {
    if (this.#board !== null || this.#name === null) return;
    if (this.#unanswered >= CHANCES) {
      this.#unanswered = 0;
      this.#queue({ steal: true });
    }
    this.#unanswered += 1;
    this.#post({ type: "ask", ends: [...this.#ends.keys()] });
    const { clock, visibility } = this.env;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.#ask(), visibility.hidden() ? ASK_HIDDEN_MS : ASK_MS);
  }

  // What goes over the channel.

  /** @param {any} message */
  #post(message) {
    this.#line?.postMessage({ from: this.id, ...message });
  }

  /** @param {string[]} ends @param {string} text */
  #deliver(ends, text) {
    const others = ends.filter((id) => !this.#ends.has(id));
    if (others.length > 0) this.#post({ type: "hear", ends: others, text });
    for (const id of ends) this.#ends.get(id)?.hear(text);
  }

  /** @param {any} message */
  #hear(message) {
    const { type, from, to } = message;
    if (type === "leading" || type === "here") return this.#meet(message);
    if (this.#board !== null) {
      if (type === "ask" || to === this.id) this.#serve(this.#board, message);
      return;
    }
    // A leader that was taken for dead may go on for a moment.
    if (from !== this.#leader.id) return;
    this.#unanswered = 0;
    if (type === "live" && this.#ends.size === 0) this.onLive();
    if (type === "hear") for (const id of message.ends) this.#ends.get(id)?.hear(message.text);
    if (type === "end") this.#ends.get(message.end)?.ended(message.code, message.reason);
  }

  /** A tab says that it leads. @param {any} message */
  #meet({ type, from, to, term, unknown }) {
    if (this.#board !== null || term < this.#leader.term) return;
    this.#unanswered = 0;
    if (from !== this.#leader.id) {
      this.#leader = { id: from, term };
      this.#regroup();
    } else if (type === "here" && to === this.id) {
      for (const id of unknown) this.#ends.get(id)?.ended(1006, "the leading tab has forgotten this one");
    }
  }

  /** @param {Switchboard} board @param {any} message  of a tab that is led */
  #serve(board, { type, from, end, ends, text }) {
    const now = this.env.clock.now();
    const tab = this.#led.get(from) ?? { at: now, ends: new Set() };
    this.#led.set(from, { ...tab, at: now });
    if (type === "ask") {
      const unknown = ends.filter((/** @type {string} */ id) => !this.#boardOf(id));
      this.#post({ type: "here", to: from, term: this.#leader.term, unknown });
    } else if (type === "attach") {
      tab.ends.add(end);
      (this.#last?.isLive && !board.isLive ? this.#last : board).attach(end);
    } else if (type === "say") {
      this.#boardOf(end)?.say(end, text);
    } else if (type === "detach") {
      tab.ends.delete(end);
      this.#boardOf(end)?.detach(end);
    }
    for (const [id, led] of this.#led) if (now - led.at > FORGET_MS) this.#forgetTab(id, led.ends);
  }

  /** @param {string} id @param {Set<string>} ends */
  #forgetTab(id, ends) {
    this.#led.delete(id);
    for (const end of ends) this.#boardOf(end)?.detach(end);
  }
}
