// The figures of the README: starts the release binary alone on SQLite in a temporary folder, measures, and prints a
// table.
//
//   cargo build --release && node bench/figures.mjs [path of the binary]

import { join } from "node:path";
import { call, each, folder, measure, must, names, resident, say, sends, start, subscribe } from "./support.mjs";

const BINARY = process.argv[2] ?? "target/release/tidings";
const WRITERS = 64;
const SECONDS = 8;
const IDLE = 2000;

await measure(async () => {
  const server = await start(BINARY, ["--database-url", `sqlite:${join(folder, "tidings.db")}`]);
  const { child, port } = server;
  say("start to listening", `${server.milliseconds.toFixed(0)} ms`);
  say("memory at rest", `${(resident(child) / 1024).toFixed(1)} MiB`);
  const users = names("writer", WRITERS);
  const rooms = names("room", 20);
  await each(users, (user) => must(200, port, "GET", "/api/session", user));
  await each([...rooms, "hot"], (id) => must(201, port, "POST", "/api/chat/rooms", users[0], { id, type: "GROUP", memberIds: users }));
  say(`${WRITERS} writers, one room`, (await sends([server], users, ["hot"], SECONDS)).text);
  say(`${WRITERS} writers, 20 rooms`, (await sends([server], users, rooms, SECONDS)).text);
  const meta = await call(port, "GET", "/api/chat/rooms/hot/meta", users[0]);
  say("a meta answer", `${meta.body.length} bytes of body (some ${meta.bytes - meta.body.length} of headers)`);
  const before = resident(child);
  const sockets = [];
  await each(Array.from({ length: IDLE }), async (_, n) => sockets.push(await subscribe(port, users[n % WRITERS], "hot")), 50);
  say(`an idle, subscribed connection (${IDLE} of them)`, `${(((resident(child) - before) * 1024) / IDLE / 1000).toFixed(1)} kB`);
  for (const socket of sockets) socket.destroy();
});
