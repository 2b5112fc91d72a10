// The figures of a cluster: two instances of the release binary on a PostgreSQL that syncs every commit and a Redis,
// in a temporary folder. Sends with and without commits in groups, the way of a message from one instance to the
// other, and what polling costs, with Redis and without, against an application that reads the whole list each time.
//
//   cargo build --release && node bench/cluster.mjs [path of the binary]

import { randomUUID } from "node:crypto";
import { call, counters, each, freePort, measure, must, names, percentile, postgres, redis, say, sends, start, stop, subscribe } from "./support.mjs";

const BINARY = process.argv[2] ?? "target/release/tidings";
const WRITERS = 64;
const SECONDS = 8;
const WARMING = 15;
const POLLING = 30;
const EVERY = 2500;

async function instance(database, cache, more = {}) {
  const metrics = await freePort();
  const environment = { DATABASE_URL: database, METRICS_ADDR: `127.0.0.1:${metrics}`, ...(cache ? { REDIS_URL: cache } : {}), ...more };
  return { ...(await start(BINARY, [], environment)), metrics };
}

async function proven({ port }) {
  for (let n = 0; n < 200; n += 1) {
    if (JSON.parse((await call(port, "GET", "/readyz", "nobody")).body).bus === "proven") return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the bus was not proven within 10 s");
}

const totals = async (instances) => {
  const all = await Promise.all(instances.map(({ metrics }) => counters(metrics)));
  const sum = (name) => all.reduce((total, one) => total + (one[name] ?? 0), 0);
  return { queries: sum("tidings_queries_total"), redis: sum("tidings_redis_calls_total"), tail: sum('tidings_repairs_total{cause="tail"}') };
};

// From a send at one instance to its frame at a socket of the other: open loop, so a slow one delays no other.
async function latency(from, to, users, room, seconds, perSecond) {
  const sent = new Map();
  const took = [];
  const socket = await subscribe(to.port, users[1], room, (frame) => {
    const id = /"id":"([^"]+)"/.exec(frame)?.[1];
    if (sent.has(id)) took.push(performance.now() - sent.get(id));
  });
  const running = [];
  const began = performance.now();
  for (let n = 0; n < seconds * perSecond; n += 1) {
    const wait = began + (n * 1000) / perSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const id = randomUUID();
    sent.set(id, performance.now());
    running.push(must(201, from.port, "POST", `/api/chat/rooms/${room}/messages`, users[0], { id, content: "hello" }));
  }
  await Promise.all(running);
  for (let n = 0; n < 100 && took.length < sent.size; n += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  return `${took.length} of ${sent.size} arrived, p50 ${percentile(took, 0.5).toFixed(1)} ms, p99 ${percentile(took, 0.99).toFixed(1)} ms`;
}

// Clients that ask for meta and fetch what is new only when there is something, each at a random instance each time.
async function polls(instances, pairs, senders, full) {
  const state = new Map(pairs.map((pair) => [pair, { tag: "", since: 0, history: "" }]));
  let asked = 0;
  let bytes = 0;
  let quiet = 0;
  const one = async ([user, room], client) => {
    const { port } = instances[Math.floor(Math.random() * instances.length)];
    const path = `/api/chat/rooms/${room}`;
    asked += 1;
    if (full) {
      bytes += (await must(200, port, "GET", `${path}/messages?limit=50`, user)).bytes;
      return;
    }
    const meta = await call(port, "GET", `${path}/meta`, user, undefined, client.tag ? { "if-none-match": client.tag } : {});
    bytes += meta.bytes;
    if (meta.status === 304) {
      quiet += 1;
      return;
    }
    client.tag = meta.headers.etag;
    const query = client.history ? `since=${client.since}&history=${client.history}` : "limit=10";
    const page = await must(200, port, "GET", `${path}/messages?${query}`, user);
    bytes += page.bytes;
    ({ rev: client.since, history: client.history } = JSON.parse(page.body));
  };
  const every = full ? 3000 : EVERY;
  const began = performance.now();
  // The first rounds find the instances cold; people poll for hours.
  const warm = began + WARMING * 1000;
  const end = warm + POLLING * 1000;
  const wait = (until) => new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())));
  const clients = pairs.map(async (pair, n) => {
    for (let at = began + (n / pairs.length) * every; at < end; at += every) {
      await wait(at);
      await one(pair, state.get(pair));
    }
  });
  const writer = (async () => {
    for (let at = began + 500; at < end; at += 1000) {
      await wait(at);
      const [user, room] = senders[Math.floor(Math.random() * senders.length)];
      await must(201, instances[0].port, "POST", `/api/chat/rooms/${room}/messages`, user, { content: "one message of a second" });
    }
  })();
  await wait(warm);
  [asked, bytes, quiet] = [0, 0, 0];
  const before = await totals(instances);
  await Promise.all([...clients, writer]);
  const after = await totals(instances);
  const per = (name) => ((after[name] - before[name]) / asked) * 1000;
  const rate = pairs.length / (every / 1000);
  return {
    queries: (per("queries") * rate) / 1000,
    bytes: (bytes / asked) * rate,
    text:
      `${asked} polls, ${((quiet / asked) * 100).toFixed(1)} % unchanged; per 1,000: ${per("queries").toFixed(0)} queries, ` +
      `${per("redis").toFixed(0)} Redis calls, ${((bytes / asked)).toFixed(0)} bytes each; tail repairs ${after.tail - before.tail}`,
  };
}

const spared = (now, then) => `${(100 * (1 - now.queries / then.queries)).toFixed(0)} % of the queries, ${(100 * (1 - now.bytes / then.bytes)).toFixed(0)} % of the bytes spared`;

await measure(async () => {
  const database = await postgres();
  const cache = await redis();
  let pair = [await instance(database, cache.url), await instance(database, cache.url)];
  await Promise.all(pair.map(proven));
  const writers = names("writer", WRITERS);
  const rooms = names("room", 20);
  await each(writers, (user) => must(200, pair[0].port, "GET", "/api/session", user));
  await each([...rooms, "hot", "far"], (id) => must(201, pair[0].port, "POST", "/api/chat/rooms", writers[0], { id, type: "GROUP", memberIds: writers }));
  say(`${WRITERS} writers at two instances, one room`, (await sends(pair, writers, ["hot"], SECONDS)).text);
  say(`${WRITERS} writers at two instances, 20 rooms`, (await sends(pair, writers, rooms, SECONDS)).text);
  say(`${WRITERS} writers at one instance, one room`, (await sends([pair[0]], writers, ["hot"], SECONDS)).text);
  say(`${WRITERS} writers at one instance, 20 rooms`, (await sends([pair[0]], writers, rooms, SECONDS)).text);
  say("from one instance to the other, 50/s", await latency(pair[0], pair[1], writers, "far", 10, 50));

  const people = names("person", 1000);
  await each(people, (user) => must(200, pair[0].port, "GET", "/api/session", user));
  const pairs = people.map((user, n) => [user, `pair${n >> 1}`]);
  await each(names("pair", 500), (id, n) => must(201, pair[0].port, "POST", "/api/chat/rooms", people[2 * n], { id, type: "GROUP", memberIds: [people[2 * n + 1]] }));
  await must(201, pair[0].port, "POST", "/api/chat/rooms", people[0], { id: "crowd", type: "GROUP", memberIds: people.slice(1, 201) });
  for (let n = 201; n < 1000; n += 1) await must(200, pair[0].port, "PUT", `/api/chat/rooms/crowd/members/${people[n]}`, people[0], {});
  const crowd = people.map((user) => [user, "crowd"]);
  // A list of fifty is what an application that reads the whole list gets.
  await each([...names("pair", 500), "crowd"], async (room, n) => {
    const user = room === "crowd" ? people[0] : people[2 * n];
    for (let m = 0; m < 50; m += 1) await must(201, pair[0].port, "POST", `/api/chat/rooms/${room}/messages`, user, { content: `message ${m} of an ordinary length` });
  });
  const full = await polls(pair, pairs, pairs, true);
  say("1,000 clients in 500 rooms, the whole list of 50 each 3 s", full.text);
  const meta = await polls(pair, pairs, pairs, false);
  say("the same by meta each 2.5 s", `${meta.text}; ${spared(meta, full)}`);
  const fullCrowd = await polls(pair, crowd, [crowd[0]], true);
  say("1,000 clients in one room, the whole list", fullCrowd.text);
  const metaCrowd = await polls(pair, crowd, [crowd[0]], false);
  say("the same by meta", `${metaCrowd.text}; ${spared(metaCrowd, fullCrowd)}`);

  await stop(cache.child, "SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 4000));
  say("Redis killed: 500 rooms by meta", (await polls(pair, pairs, pairs, false)).text);
  say("Redis killed: from one instance to the other, 50/s", await latency(pair[0], pair[1], writers, "far", 10, 50));
  say(`Redis killed: ${WRITERS} writers at two instances, one room`, (await sends(pair, writers, ["hot"], SECONDS)).text);
  for (const one of pair) await stop(one.child);
  pair = [await instance(database, undefined, { COMMIT_BATCH: "1" })];
  say("a commit each, one instance, one room", (await sends(pair, writers, ["hot"], SECONDS)).text);
  say("a commit each, one instance, 20 rooms", (await sends(pair, writers, rooms, SECONDS)).text);
});
