/**
 * A browser with several tabs: its locks and channels, tabs that freeze, thaw and die, and a service that
 * answers their sockets from one log.
 */
import { connect } from "../../client/tidings.js";
import { FakeClock, FakeService, FakeVisibility, settle, WELCOME } from "./support.js";

/** What happens to a tab happens through here: not at all once it is dead, later while it is frozen. */
class Life {
  state = "running";
  #later = [];

  run(what) {
    if (this.state === "running") what();
    else if (this.state === "frozen") this.#later.push(what);
  }

  async thaw() {
    this.state = "running";
    for (const what of this.#later.splice(0)) what();
    await settle();
  }
}

class FakeLocks {
  /** @type {Map<string, { holder: object|null, waiting: object[] }>} */
  #locks = new Map();

  of(life) {
    return { request: (name, options, run) => this.#request(life, name, options, run) };
  }

  #request(life, name, { signal, steal, ifAvailable }, run) {
    const lock = this.#locks.get(name) ?? { holder: null, waiting: [] };
    this.#locks.set(name, lock);
    if (ifAvailable && (lock.holder !== null || lock.waiting.length > 0)) return Promise.resolve().then(() => run(null));
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new Error("aborted"));
      const request = { life, run, resolve, reject };
      signal?.addEventListener("abort", () => {
        if (!lock.waiting.includes(request)) return;
        lock.waiting = lock.waiting.filter((other) => other !== request);
        reject(new Error("aborted"));
      });
      if (steal) {
        const robbed = lock.holder;
        lock.holder = null;
        lock.waiting.unshift(request);
        robbed?.life.run(() => robbed.reject(new Error("stolen")));
      } else {
        lock.waiting.push(request);
      }
      this.#grant(lock);
    });
  }

  #grant(lock) {
    if (lock.holder !== null || lock.waiting.length === 0) return;
    const request = (lock.holder = lock.waiting.shift());
    queueMicrotask(() => request.life.run(async () => {
      if (lock.holder !== request) return;
      const result = await request.run({});
      if (lock.holder !== request) return;
      lock.holder = null;
      request.resolve(result);
      this.#grant(lock);
    }));
  }

  die(life) {
    for (const lock of this.#locks.values()) {
      lock.waiting = lock.waiting.filter((request) => request.life !== life);
      if (lock.holder?.life === life) lock.holder = null;
      this.#grant(lock);
    }
  }
}

class FakeChannels {
  #open = new Set();
  /** @type {string[]} */
  said = [];

  of(life) {
    return (name) => {
      const line = { name, life, onmessage: null, close: () => this.#open.delete(line), postMessage: (data) => this.#post(line, data) };
      this.#open.add(line);
      return line;
    };
  }

  #post(from, data) {
    const text = JSON.stringify(data);
    this.said.push(text);
    for (const line of this.#open) {
      if (line === from || line.name !== from.name) continue;
      queueMicrotask(() => line.life.run(() => this.#open.has(line) && line.onmessage?.({ data: JSON.parse(text) })));
    }
  }

  die(life) {
    for (const line of this.#open) if (line.life === life) this.#open.delete(line);
  }
}

/** The service's end of each socket there is. */
class Sockets {
  open = new Set();
  made = 0;
  /** @type {object[]} every frame heard */
  heard = [];
  refuse = false;

  constructor(service) {
    this.service = service;
  }

  of(life) {
    const sockets = this;
    return class {
      rooms = new Map();
      watches = false;

      constructor(url, protocols) {
        Object.assign(this, { url, protocols, life });
        sockets.made += 1;
        if (sockets.refuse) return void queueMicrotask(() => this.drop(1006));
        sockets.open.add(this);
        this.tell(WELCOME);
      }

      send(text) {
        if (life.state === "dead" || !sockets.open.has(this)) return;
        const frame = JSON.parse(text);
        sockets.heard.push(frame);
        queueMicrotask(() => sockets.answer(this, frame));
      }

      close() {
        sockets.open.delete(this);
      }

      tell(frame) {
        queueMicrotask(() => sockets.open.has(this) && life.run(() => this.onmessage?.({ data: JSON.stringify(frame) })));
      }

      drop(code, reason = "") {
        sockets.open.delete(this);
        life.run(() => this.onclose?.({ code, reason }));
      }
    };
  }

  answer(socket, { id, type, roomId, since, limit, message }) {
    if (!this.open.has(socket)) return;
    if (type === "ping") return socket.tell({ type: "pong", id });
    if (type === "subscribe") return this.#subscribe(socket, id, roomId, since, limit);
    if (type === "unsubscribe") socket.rooms.delete(roomId);
    if (type !== "send") return socket.tell({ type: "ok", id });
    const room = this.service.room(roomId);
    const known = room.messages.find((held) => held.id === message.id);
    const made = known ?? this.service.write(1, roomId, { id: message.id, content: message.content, senderId: "me" });
    socket.tell({ type: "ok", id, message: made });
  }

  #subscribe(socket, id, roomId, since, limit) {
    const { messages, rev } = this.service.room(roomId);
    socket.rooms.set(roomId, rev);
    socket.tell({ type: "subscribed", id, roomId, rev, lastSeq: messages.length, history: "h1", status: "live" });
    const page = since === undefined ? messages.slice(-limit) : messages.filter((held) => held.rev > since).sort((a, b) => a.rev - b.rev);
    if (page.length > 0) socket.tell({ type: "messages", roomId, messages: page, rev });
  }

  push(message) {
    for (const socket of this.open) if (socket.rooms.has(message.roomId)) socket.tell({ type: "message", roomId: message.roomId, message });
  }

  die(life) {
    for (const socket of this.open) if (socket.life === life) this.open.delete(socket);
  }
}

export function browser({ random = () => 0.5 } = {}) {
  const clock = new FakeClock();
  const service = new FakeService();
  const locks = new FakeLocks();
  const channels = new FakeChannels();
  const sockets = new Sockets(service);
  // What is sent by whichever way is told to whoever follows.
  const store = service.write.bind(service);
  service.write = (count, id, more) => {
    const made = store(count, id, more);
    if (more?.id !== undefined) sockets.push(made);
    return made;
  };
  let ids = 0;
  const tab = async (options = {}) => {
    const life = new Life();
    const visibility = new FakeVisibility();
    const chat = connect({
      baseUrl: "http://chat.test",
      getToken: () => "token-1",
      fetch: (url, init) => (life.state === "running" ? service.fetch(url, init) : new Promise(() => {})),
      clock: { ...clock, now: clock.now, clearTimeout: clock.clearTimeout, setTimeout: (run, ms) => clock.setTimeout(() => life.run(run), ms) },
      WebSocket: sockets.of(life),
      locks: locks.of(life),
      openChannel: channels.of(life),
      visibility,
      random,
      uuid: () => `00000000-0000-4000-8000-${String((ids += 1)).padStart(12, "0")}`,
      hold: false,
      store: null,
      ...options,
    });
    const room = chat.room("r");
    await settle();
    return {
      chat,
      room,
      life,
      visibility,
      status: () => chat.connection.getSnapshot().status,
      get leads() {
        return [...sockets.open].some((socket) => socket.life === life);
      },
      freeze: () => void (life.state = "frozen"),
      thaw: () => life.thaw(),
      async die() {
        life.state = "dead";
        for (const part of [sockets, channels, locks]) part.die(life);
        await settle();
      },
    };
  };
  const write = async () => {
    sockets.push(service.write());
    await settle();
  };
  return { clock, service, sockets, channels, tab, write };
}
