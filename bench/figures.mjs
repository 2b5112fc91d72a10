// The figures of the README: starts the release binary alone on SQLite in a temporary folder, measures, and prints a
// table. Bounded in time and in what it opens; talks to this machine only. No dependencies.
//
//   cargo build --release && node bench/figures.mjs [path of the binary]

import { spawn } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.argv[2] ?? "target/release/tidings";
const SECRET = randomBytes(32).toString("hex");
const WRITERS = 64;
const SECONDS = 8;
const IDLE = 2000;

const folder = mkdtempSync(join(tmpdir(), "tidings-figures-"));
const rows = [];
const say = (what, value) => {
  rows.push([what, value]);
  console.error(`${what}: ${value}`);
};

function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256" })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

async function start() {
  const began = performance.now();
  const url = `sqlite:${join(folder, "tidings.db")}`;
  const child = spawn(BINARY, ["--port", "0", "--host", "127.0.0.1", "--database-url", url, "--limits", "off"], {
    env: { JWT_SECRET: SECRET, RUST_LOG: "error" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise((resolve, reject) => {
    child.on("exit", (code) => reject(new Error(`${BINARY} ended with ${code}`)));
    child.stdout.on("data", (text) => {
      const found = /:(\d+)/.exec(text);
      if (found) resolve(Number(found[1]));
    });
  });
  return { child, port, milliseconds: performance.now() - began };
}

const agent = new http.Agent({ keepAlive: true, maxSockets: WRITERS });

function call(port, method, path, user, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${tokens[user]}`, "content-type": "application/json" };
    const request = http.request({ agent, host: "127.0.0.1", port, method, path, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.rawHeaders, body: Buffer.concat(parts) }));
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const tokens = {};
const users = Array.from({ length: WRITERS }, (_, n) => `writer${n}`);
for (const user of users) tokens[user] = token(user);

const resident = (child) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))[1]);
const cpuSeconds = (child) => {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

// Each writer sends its next message when the one before was acknowledged.
async function sends(port, child, rooms) {
  const end = performance.now() + SECONDS * 1000;
  const took = [];
  const cpu = cpuSeconds(child);
  await Promise.all(
    users.map(async (user, n) => {
      while (performance.now() < end) {
        const began = performance.now();
        const path = `/api/chat/rooms/${rooms[n % rooms.length]}/messages`;
        const answer = await call(port, "POST", path, user, { id: randomUUID(), content: `message ${took.length} of an ordinary length` });
        if (answer.status !== 201) throw new Error(`${answer.status} ${answer.body}`);
        took.push(performance.now() - began);
      }
    }),
  );
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.floor(took.length * share)].toFixed(1);
  const perSend = ((cpuSeconds(child) - cpu) / took.length) * 1e6;
  return `${Math.round(took.length / SECONDS)}/s acknowledged, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${perSend.toFixed(0)} µs of server CPU each`;
}

// A subscribed, authenticated WebSocket that then says nothing.
function idle(port, user, room) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      const key = randomBytes(16).toString("base64");
      socket.write(
        `GET /api/chat/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nAuthorization: Bearer ${tokens[user]}\r\n\r\n`,
      );
    });
    let seen = "";
    let subscribed = false;
    socket.on("data", (bytes) => {
      seen += bytes.toString("latin1");
      if (!subscribed && seen.includes('"welcome"')) {
        subscribed = true;
        const frame = Buffer.from(JSON.stringify({ type: "subscribe", id: 1, roomId: room, limit: 1 }));
        // A masked text frame; a mask of zeros leaves it readable here.
        socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | frame.length, 0, 0, 0, 0]), frame]));
      }
      if (seen.includes('"messages"')) resolve(socket);
    });
    socket.on("error", reject);
  });
}

const { child, port, milliseconds } = await start();
try {
  say("start to listening", `${milliseconds.toFixed(0)} ms`);
  say("memory at rest", `${(resident(child) / 1024).toFixed(1)} MiB`);
  for (const user of users) await call(port, "GET", "/api/session", user);
  const rooms = Array.from({ length: 20 }, (_, n) => `room${n}`);
  for (const id of [...rooms, "hot"]) await call(port, "POST", "/api/chat/rooms", users[0], { id, type: "GROUP", memberIds: users });
  say(`${WRITERS} writers, one room`, await sends(port, child, ["hot"]));
  say(`${WRITERS} writers, 20 rooms`, await sends(port, child, rooms));
  const meta = await call(port, "GET", "/api/chat/rooms/hot/meta", users[0]);
  const head = meta.headers.join(": ").length;
  say("a meta answer", `${meta.body.length} bytes of body (some ${head} of headers)`);
  const before = resident(child);
  const sockets = [];
  for (let n = 0; n < IDLE; n += 50) {
    sockets.push(...(await Promise.all(Array.from({ length: 50 }, (_, m) => idle(port, users[(n + m) % WRITERS], "hot")))));
  }
  say(`an idle, subscribed connection (${IDLE} of them)`, `${(((resident(child) - before) * 1024) / IDLE / 1000).toFixed(1)} kB`);
  for (const socket of sockets) socket.destroy();
  console.log(["| figure | measured |", "|---|---|", ...rows.map(([what, value]) => `| ${what} | ${value} |`)].join("\n"));
} finally {
  agent.destroy();
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGINT");
  await ended;
  rmSync(folder, { recursive: true });
}
