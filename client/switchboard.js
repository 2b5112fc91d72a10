// @ts-check
/**
 * The leading tab's end of the one socket: frames of all tabs go up it, and what comes down goes to whom it is meant.
 * It promises each tab what a socket of its own would tell: replies to who asked, a room's frames to who follows it.
 * A page of changes is told as a page only to who asked for it; to others as single messages, which show a hole.
 * When the service stops there is a second one for the next socket, and the ends move over while this one goes on.
 * It may not know of tabs, locks or time.
 */

/** What the service says of the leading tab's token, not of the user. */
const OF_ITS_TOKEN = [4001, 4003, 4004];

/** @typedef {{ end: string, id: unknown, frame: any }} Asked  an end is one tab's socket, by its id */
/** @typedef {{ followers: Set<string>, asker: string|null }} Followed */

export class Switchboard {
  /** @type {any} */
  #ws = null;
  /** The tab's own end, whose attempt and whose token the socket is. @type {string|null} */
  #own = null;
  /** @type {any} */
  #welcome = null;
  /** @type {Set<string>} */
  #ends = new Set();
  /** @type {Set<string>} */
  #watching = new Set();
  /** @type {Map<string, Followed>} */
  #rooms = new Map();
  /** @type {Map<number, Asked>} */
  #asked = new Map();
  #nextId = 1;
  /** Its ends move elsewhere; it hangs up behind the last. */
  #leaving = false;

  /**
   * @param {object} options
   * @param {(ends: string[], text: string) => void} options.deliver
   * @param {(end: string, code: number, reason: string) => void} options.close
   * @param {() => void} options.onLive
   */
  constructor({ deliver, close, onLive }) {
    this.deliver = deliver;
    this.close = close;
    this.onLive = onLive;
  }

  get isLive() {
    return this.#welcome !== null;
  }

  /** There is another: the ends are asked to move there. One's own does so by itself. */
  sendOn() {
    this.#leaving = true;
    this.deliver([...this.#ends].filter((end) => end !== this.#own), JSON.stringify({ type: "drain", reconnectInMs: 0 }));
  }

  /** @param {string} end */
  has(end) {
    return this.#ends.has(end);
  }

  /** @param {string} end */
  attach(end) {
    this.#ends.add(end);
    if (this.#welcome !== null) this.deliver([end], JSON.stringify(this.#welcome));
  }

  /** The tab's own end opens the socket. @param {string} end @param {() => any} open */
  dial(end, open) {
    this.hangUp("another attempt was made");
    this.#own = end;
    this.#ends.add(end);
    const ws = (this.#ws = open());
    ws.onmessage = (/** @type {any} */ { data }) => this.#hear(data);
    ws.onclose = (/** @type {any} */ { code, reason }) => this.#ended(code, reason);
  }

  /** @param {string} end */
  detach(end) {
    if (end === this.#own && !this.#leaving) return this.hangUp("the leading tab ended its socket");
    this.#ends.delete(end);
    this.#watching.delete(end);
    for (const roomId of [...this.#rooms.keys()]) this.#unfollow(end, roomId);
    if (this.#leaving && this.#ends.size === 0) this.hangUp("all have moved on");
  }

  /** Ends the socket, and every end but one's own, which asked for it. @param {string} reason */
  hangUp(reason) {
    if (this.#ws === null) return;
    this.#ws.onmessage = this.#ws.onclose = null;
    this.#ws.close(1000);
    if (this.#own !== null) this.#ends.delete(this.#own);
    this.#ended(1006, reason);
  }

  /** @param {string} end @param {string} text */
  say(end, text) {
    if (this.#welcome === null || !this.#ends.has(end)) return;
    const frame = JSON.parse(text);
    if (frame.type === "unsubscribe") return this.#unfollow(end, frame.roomId);
    if (frame.type === "watch") this.#watching.add(end);
    this.#send(frame, end, frame.id);
  }

  /** @param {any} frame @param {string} end @param {unknown} id */
  #send(frame, end, id) {
    const wireId = this.#nextId++;
    this.#asked.set(wireId, { end, id, frame });
    this.#ws.send(JSON.stringify({ ...frame, id: wireId }));
  }

  /** @param {unknown} text */
  #hear(text) {
    if (typeof text !== "string") return;
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      // Each end knows what to do with that.
      return this.deliver([...this.#ends], text);
    }
    const asked = this.#asked.get(frame.id);
    if (asked !== undefined) return this.#reply(asked, frame);
    switch (frame.type) {
      case "welcome":
        this.#welcome = frame;
        this.deliver([...this.#ends], text);
        return this.onLive();
      case "messages":
        return this.#page(frame, text);
      case "meta":
        return this.deliver([...this.#watching], text);
      case "expiring":
      case "drain":
        return this.deliver(this.#own === null ? [] : [this.#own], text);
    }
    if (frame.roomId === undefined) return this.deliver([...this.#ends], text);
    this.deliver([...(this.#rooms.get(frame.roomId)?.followers ?? [])], text);
    if (frame.type === "removed") this.#rooms.delete(frame.roomId);
  }

  /** @param {Asked} asked @param {any} reply */
  #reply({ end, id, frame }, reply) {
    this.#asked.delete(reply.id);
    const here = this.#ends.has(end);
    if (reply.type === "subscribed") this.#followed(here ? end : null, frame.roomId);
    // What was said without an id is answered only if it fails, or is a ping.
    if (!here || (id === undefined && reply.type !== "pong" && reply.type !== "error")) return;
    this.deliver([end], JSON.stringify({ ...reply, id }));
  }

  /** @param {string|null} end  null: who asked is gone @param {string} roomId */
  #followed(end, roomId) {
    const room = this.#rooms.get(roomId) ?? { followers: new Set(), asker: null };
    this.#rooms.set(roomId, room);
    room.asker = end;
    if (end !== null) room.followers.add(end);
    else this.#unfollow("", roomId);
  }

  /** @param {string} end @param {string} roomId */
  #unfollow(end, roomId) {
    const room = this.#rooms.get(roomId);
    if (room === undefined) return;
    room.followers.delete(end);
    if (room.asker === end) room.asker = null;
    if (room.followers.size > 0) return;
    this.#rooms.delete(roomId);
    this.#ws?.send(JSON.stringify({ type: "unsubscribe", roomId }));
  }

  /** @param {any} frame @param {string} text */
  #page({ roomId, messages }, text) {
    const room = this.#rooms.get(roomId);
    if (room === undefined) return;
    if (room.asker !== null) this.deliver([room.asker], text);
    const others = [...room.followers].filter((end) => end !== room.asker);
    if (others.length === 0) return;
    const byRev = [...messages].sort((a, b) => a.rev - b.rev);
    for (const message of byRev) this.deliver(others, JSON.stringify({ type: "message", roomId, message }));
  }

  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    const ends = [...this.#ends];
    const own = this.#own;
    this.#ws = this.#own = this.#welcome = null;
    for (const held of [this.#ends, this.#watching, this.#rooms, this.#asked]) held.clear();
    const forOthers = OF_ITS_TOKEN.includes(code) ? 1006 : code;
    // One's own last: with it the tab may leave, and could tell the others nothing any more.
    for (const end of ends) if (end !== own) this.close(end, forOthers, reason);
    if (own !== null && ends.includes(own)) this.close(own, code, reason);
  }
}
