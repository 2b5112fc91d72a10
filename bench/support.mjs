// What the measurements share: the program and its databases as children of this process in a temporary folder, users,
// calls that count their bytes, writers. Bounded in time and in what it opens; talks to this machine only. No dependencies.

import { execFileSync, spawn } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const SECRET = randomBytes(32).toString("hex");
export const folder = mkdtempSync(join(tmpdir(), "tidings-"));

const children = [];
const rows = [];

/** A line of the table at the end, shown at once. */
export function say(what, value) {
  rows.push([what, value]);
  console.error(`${what}: ${value}`);
}

/** Runs a measurement, prints its table, and leaves nothing behind. */
export async function measure(work) {
  try {
    await work();
    console.log(["| figure | measured |", "|---|---|", ...rows.map(([what, value]) => `| ${what} | ${value} |`)].join("\n"));
  } finally {
    agent.destroy();
    for (const child of children.reverse()) await stop(child);
    rmSync(folder, { recursive: true });
  }
}

/** Ends a child of ours and waits for its end. */
export async function stop(child, signal = "SIGINT") {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill(signal);
  await ended;
}

function begin(command, parameters, options) {
  const child = spawn(command, parameters, options);
  children.push(child);
  return child;
}

async function until(what, ask) {
  const end = performance.now() + 15_000;
  while (performance.now() < end) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited 15 s for ${what}`);
}

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const isOpen = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket.destroy() && true));
    socket.on("error", () => resolve(false));
  });

/** The program; resolves once it listens. */
export async function start(binary, parameters, environment = {}) {
  const began = performance.now();
  const child = begin(binary, ["--port", "0", "--host", "127.0.0.1", "--limits", "off", ...parameters], {
    env: { JWT_SECRET: SECRET, RUST_LOG: "error", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise((resolve, reject) => {
    child.on("exit", (code) => reject(new Error(`${binary} ended with ${code}`)));
    child.stdout.on("data", (text) => {
      const found = /:(\d+)/.exec(text);
      if (found) resolve(Number(found[1]));
    });
  });
  return { child, port, milliseconds: performance.now() - began };
}

// PostgreSQL refuses to run as root.
function unprivileged() {
  if (process.getuid() !== 0) return { prefix: [], own: () => {} };
  const [, , uid, gid] = readFileSync("/etc/passwd", "utf8").split("\n").find((line) => /^(postgres|nobody):/.test(line)).split(":");
  return {
    prefix: ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups"],
    own: (path) => chownSync(path, Number(uid), Number(gid)),
  };
}

/** A PostgreSQL with its defaults (every commit synced) on this disk; returns the address of a new database. */
export async function postgres() {
  const versions = "/usr/lib/postgresql";
  const bin = existsSync(versions) ? join(versions, readdirSync(versions).sort().at(-1), "bin") : "";
  const data = mkdtempSync(join(folder, "pg-"));
  const { prefix, own } = unprivileged();
  chmodSync(folder, 0o711);
  own(data);
  const run = (...command) => [...prefix, ...command];
  const init = run(join(bin, "initdb"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", data);
  execFileSync(init[0], init.slice(1), { stdio: "ignore", cwd: "/" });
  const port = await freePort();
  const [command, ...parameters] = run(
    join(bin, "postgres"), "-D", data, "-k", "", "-p", String(port),
    "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
  );
  begin(command, parameters, { stdio: "ignore", cwd: "/" });
  await until("PostgreSQL", () => isOpen(port));
  return `postgres://postgres@127.0.0.1:${port}/postgres`;
}

/** A Redis without persistence; returns its address and process. */
export async function redis() {
  const port = await freePort();
  const child = begin("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  await until("Redis", () => isOpen(port));
  return { url: `redis://127.0.0.1:${port}`, child };
}

const agent = new http.Agent({ keepAlive: true });
const tokens = new Map();

/** A token of this user. */
export function token(user) {
  if (!tokens.has(user)) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const body = `${part({ alg: "HS256" })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
    tokens.set(user, `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`);
  }
  return tokens.get(user);
}

/** A call; `bytes` is what its answer took on the wire. */
export function call(port, method, path, user, body, more = {}) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token(user)}`, "content-type": "application/json", ...more };
    const request = http.request({ agent, host: "127.0.0.1", port, method, path, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        const head = response.rawHeaders.reduce((sum, text) => sum + text.length + 2, 17);
        const content = Buffer.concat(parts);
        resolve({ status: response.statusCode, headers: response.headers, body: content, bytes: head + content.length });
      });
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The same, which must have this status. */
export async function must(status, ...parameters) {
  const answer = await call(...parameters);
  if (answer.status !== status) throw new Error(`${parameters.slice(1, 3).join(" ")}: ${answer.status} ${answer.body}`);
  return answer;
}

export const names = (name, count) => Array.from({ length: count }, (_, n) => `${name}${n}`);

/** Does something for each, some at a time. */
export async function each(list, work, width = 32) {
  const waiting = [...list.entries()].reverse();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let next = waiting.pop(); next; next = waiting.pop()) await work(next[1], next[0]);
    }),
  );
}

export const resident = (child) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))[1]);

export function cpuSeconds(child) {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** Writers who each send the next message when the one before was acknowledged; over these instances in turn. */
export async function sends(instances, users, rooms, seconds) {
  const end = performance.now() + seconds * 1000;
  const took = [];
  const cpu = () => instances.reduce((sum, instance) => sum + cpuSeconds(instance.child), 0);
  const before = cpu();
  await Promise.all(
    users.map(async (user, n) => {
      const { port } = instances[n % instances.length];
      while (performance.now() < end) {
        const began = performance.now();
        const message = { id: randomUUID(), content: `message ${took.length} of an ordinary length` };
        await must(201, port, "POST", `/api/chat/rooms/${rooms[n % rooms.length]}/messages`, user, message);
        took.push(performance.now() - began);
      }
    }),
  );
  const each = ((cpu() - before) / took.length) * 1e6;
  return {
    perSecond: took.length / seconds,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    text:
      `${Math.round(took.length / seconds)}/s acknowledged, p50 ${percentile(took, 0.5).toFixed(1)} ms, ` +
      `p99 ${percentile(took, 0.99).toFixed(1)} ms, ${each.toFixed(0)} µs of server CPU each`,
  };
}

/** A subscribed, authenticated WebSocket; `heard` gets every text frame that begins with `{"type":"message"`. */
export function subscribe(port, user, room, heard = () => {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      const key = randomBytes(16).toString("base64");
      socket.write(
        `GET /api/chat/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nAuthorization: Bearer ${token(user)}\r\n\r\n`,
      );
    });
    let rest = Buffer.alloc(0);
    let upgraded = false;
    socket.on("data", (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      if (!upgraded) {
        const end = rest.indexOf("\r\n\r\n");
        if (end < 0) return;
        upgraded = true;
        rest = rest.subarray(end + 4);
        const frame = Buffer.from(JSON.stringify({ type: "subscribe", id: 1, roomId: room, limit: 1 }));
        // A masked text frame; a mask of zeros leaves it readable here.
        socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | frame.length, 0, 0, 0, 0]), frame]));
      }
      for (let frame = take(); frame !== null; frame = take()) {
        if (frame.startsWith('{"type":"messages"')) resolve(socket);
        else if (frame.startsWith('{"type":"message"')) heard(frame);
      }
    });
    function take() {
      if (rest.length < 2) return null;
      const short = rest[1] & 0x7f;
      const head = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (rest.length < head) return null;
      const length = short === 127 ? Number(rest.readBigUInt64BE(2)) : short === 126 ? rest.readUInt16BE(2) : short;
      if (rest.length < head + length) return null;
      const text = (rest[0] & 15) === 1 ? rest.toString("utf8", head, head + length) : "";
      rest = rest.subarray(head + length);
      return text;
    }
    socket.on("error", reject);
  });
}

/** The counters of an instance, summed over their labels unless named whole. */
export async function counters(metricsPort) {
  const { body } = await call(metricsPort, "GET", "/metrics", "nobody");
  const found = {};
  for (const line of body.toString().split("\n")) {
    const match = /^([a-z_]+)(\{[^}]*\})? ([0-9.e+]+)$/.exec(line);
    if (!match) continue;
    const [, name, labels, value] = match;
    found[name] = (found[name] ?? 0) + Number(value);
    if (labels) found[name + labels] = Number(value);
  }
  return found;
}
