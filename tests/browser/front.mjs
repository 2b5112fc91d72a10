/**
 * What stands between a browser and the service and does what networks do: it refuses upgrades, never answers them, takes
 * them and then swallows everything, cuts sockets. It counts what passes. And it tells a page what an instance does that
 * stops, so that one instance will do.
 */
import { createServer, request } from "node:http";
import { connect } from "node:net";

/** @typedef {"open"|403|400|"unanswered"|"swallowed"} Upgrades  what becomes of a request for a socket */

export class Front {
  /** @type {Upgrades} */
  upgrades = "open";
  /** Requests for sockets so far. */
  asked = 0;
  /** Polls of meta: when each came, how many were under way at once at most, and the bytes of all answers. */
  polls = { times: [], now: 0, most: 0 };
  bytes = { meta: 0, messages: 0 };
  #sockets = new Set();
  #server;
  #port;

  /** @param {number} port  of the service */
  static async before(port) {
    const front = new Front();
    front.#port = port;
    front.#server = createServer((asked, answer) => front.#forward(asked, answer));
    front.#server.on("upgrade", (asked, socket, head) => front.#upgrade(asked, socket, head));
    await new Promise((resolve) => front.#server.listen(0, "127.0.0.1", resolve));
    front.url = `http://127.0.0.1:${front.#server.address().port}`;
    return front;
  }

  /** Sockets that are open. */
  get open() {
    return this.#sockets.size;
  }

  /** Says this to every page as if the service did: a text frame of its own, between two others. @param {object} frame */
  tell(frame) {
    const text = Buffer.from(JSON.stringify(frame));
    for (const socket of this.#sockets) socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  }

  /** Cuts every socket that is open. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    this.cut();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #forward(asked, answer) {
    const { method, url: path, headers } = asked;
    const kind = /\/meta(?:\?|$)/.test(path) ? "meta" : "messages";
    const isPoll = method === "GET" && kind === "meta";
    if (isPoll) {
      this.polls.times.push(Date.now());
      this.polls.now += 1;
      this.polls.most = Math.max(this.polls.most, this.polls.now);
      answer.once("close", () => (this.polls.now -= 1));
    }
    const passed = request({ host: "127.0.0.1", port: this.#port, method, path, headers }, (found) => {
      answer.writeHead(found.statusCode, found.rawHeaders);
      if (method === "GET") this.bytes[kind] += found.rawHeaders.join("  ").length;
      found.on("data", (data) => method === "GET" && (this.bytes[kind] += data.length));
      found.pipe(answer);
    });
    passed.once("error", () => answer.destroy());
    answer.once("close", () => passed.destroy());
    asked.pipe(passed);
  }

  #upgrade(asked, socket, head) {
    this.asked += 1;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    if (this.upgrades === "unanswered") return;
    if (typeof this.upgrades === "number") {
      socket.end(`HTTP/1.1 ${this.upgrades} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      return;
    }
    const swallowed = this.upgrades === "swallowed";
    const passed = connect(this.#port, "127.0.0.1", () => {
      const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
      for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
      passed.write(`${lines.join("\r\n")}\r\n\r\n`);
      passed.write(head);
      if (!swallowed) socket.pipe(passed).pipe(socket);
    });
    // The answer to the handshake gets through, and nothing after it.
    if (swallowed) passed.once("data", (data) => socket.write(data.subarray(0, data.indexOf("\r\n\r\n") + 4)));
    passed.on("error", () => socket.destroy());
    passed.once("close", () => socket.destroy());
    socket.once("close", () => passed.destroy());
  }
}
