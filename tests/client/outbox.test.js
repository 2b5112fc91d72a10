/** Optimistic sends: sending, sent, failed; in order, and never doubled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, polledRoom, problem, seqs, settle, subscribe, texts, WELCOME } from "./support.js";

const states = (room) => room.getSnapshot().pending.map(({ state, content }) => `${content} ${state}`);
const posts = (service) => service.matching("POST", /\/messages$/);

async function acknowledge({ socket, service }) {
  const { id, message } = socket().last("send");
  const made = service.write(1, "r", { id: message.id, content: message.content, senderId: "me" });
  await socket().receive({ type: "ok", id, message: made });
  return made;
}

test("a message is shown as sending at once, and is a message when acknowledged", async () => {
  const made = await liveRoom(3);
  const { room, socket } = made;
  const sent = room.send("hello");
  assert.deepEqual(states(room), ["hello sending"]);
  assert.match(socket().last("send").message.id, /^[0-9a-f-]{36}$/);
  await acknowledge(made);
  assert.equal((await sent).state, "sent");
  assert.deepEqual(states(room), []);
  assert.equal(texts(room).at(-1), "hello");
});

test("ok and message may come in either order", async () => {
  const made = await liveRoom(3);
  const { room, socket, service } = made;
  const sent = room.send("hello");
  const { id, message } = socket().last("send");
  const stored = service.write(1, "r", { id: message.id, content: "hello", senderId: "me" });
  await socket().receive({ type: "message", roomId: "r", message: stored });
  assert.equal((await sent).state, "sent");
  assert.deepEqual(states(room), []);
  await socket().receive({ type: "ok", id, message: stored });
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("without a socket it is posted, under its id", async () => {
  const { room, service } = await polledRoom(3);
  assert.equal((await room.send("hello")).state, "sent");
  assert.equal(posts(service).length, 1);
  assert.equal(posts(service)[0].body.content, "hello");
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  assert.equal(room.getSnapshot().rev, 3, "a 2xx moves no cursor");
});

test("a send whose outcome the drop hid goes again under the same id, and is there once", async () => {
  const { room, socket, service } = await liveRoom(3);
  const sent = room.send("hello");
  const { message } = socket().last("send");
  service.write(1, "r", { id: message.id, content: "hello", senderId: "me" });
  await socket().drop();
  assert.equal((await sent).state, "sent");
  assert.ok(posts(service).every(({ body }) => body.id === message.id));
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("sends cut off by a drop keep their order", async () => {
  const { room, socket, service } = await liveRoom(0);
  const all = Promise.all(["one", "two", "three"].map((text) => room.send(text)));
  assert.equal(socket().all("send").length, 3, "over the socket without waiting");
  await socket().drop();
  await all;
  assert.deepEqual(posts(service).map(({ body }) => body.content), ["one", "two", "three"]);
  assert.deepEqual(service.room().messages.map(({ content }) => content), ["one", "two", "three"]);
});

test("a refusal fails at once, with the service's reason", async () => {
  const { room, socket, clock } = await liveRoom(3);
  const sent = room.send("spam");
  await socket().receive({ type: "error", id: socket().last("send").id, code: "content_rejected", detail: "no" });
  const { state, error } = await sent;
  assert.equal(state, "failed");
  assert.equal(error.code, "content_rejected");
  assert.deepEqual(states(room), ["spam failed"]);
  await clock.advance(60_000);
  assert.equal(socket().all("send").length <= 1, true, "and is not tried again by itself");
});

test("without a connection it is tried on and on, tells why, and goes at once when there is one", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.down = true;
  const sent = room.send("hello");
  await clock.advance(600_000);
  const tried = posts(service).length;
  assert.ok(tried > 15 && tried < 60, `${tried} times in ten minutes`);
  const [{ state, attempts, error }] = room.getSnapshot().pending;
  assert.deepEqual([state, attempts, error.code], ["sending", tried, "network"]);
  while (posts(service).length === tried) await clock.advance(100);
  // Its own next attempt is far away now, and a poll tells sooner.
  service.down = false;
  const metas = service.metas.length;
  while (service.metas.length === metas) await clock.advance(100);
  await settle();
  assert.equal((await sent).state, "sent");
  assert.equal(posts(service).length, tried + 2);
  assert.equal(new Set(posts(service).map(({ body }) => body.id)).size, 1);
  await clock.advance(2500);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("polls that are answered do not wear down a service that can not take the message", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.before = ({ method }) => (method === "POST" ? problem(503, "unavailable") : undefined);
  const sent = room.send("hello");
  await clock.advance(300_000);
  assert.ok(posts(service).length < 20, `${posts(service).length} times in five minutes`);
  service.before = null;
  await clock.advance(31_000);
  assert.equal((await sent).state, "sent");
});

test("a message that the service always stumbles over lets the others go first after a while", async () => {
  const { room, clock, service } = await polledRoom(0);
  service.before = ({ method, body }) => (method === "POST" && body.content === "bad" ? problem(500, "internal") : undefined);
  void room.send("bad");
  const sent = room.send("good");
  await clock.advance(120_000);
  assert.equal((await sent).state, "sent");
  assert.deepEqual(states(room), ["bad sending"]);
});

test("one that waits can be discarded, or hurried", async () => {
  const { room, clock, service } = await polledRoom(0);
  service.before = ({ method }) => (method === "POST" ? problem(503, "unavailable") : undefined);
  const gone = room.send("gone");
  void room.send("kept");
  await clock.advance(60_000);
  const [first, second] = room.getSnapshot().pending;
  assert.equal(room.discard(first.id), true);
  assert.deepEqual([(await gone).state, (await gone).error.code], ["failed", "unavailable"]);
  service.before = null;
  assert.equal(await room.retry(second.id), null);
  await settle();
  assert.deepEqual(texts(room), ["kept"]);
});

test("what is written after one was discarded that waited does not wait in its place", async () => {
  const { room, clock, service } = await polledRoom(0);
  service.before = ({ method, body }) => (method === "POST" && body.content === "slow" ? problem(429, "slow_mode", { "retry-after": "3600" }) : undefined);
  void room.send("slow");
  void room.send("behind");
  await clock.advance(1000);
  const [slow, behind] = room.getSnapshot().pending;
  room.discard(behind.id);
  await settle();
  assert.equal(posts(service).length, 1, "the service has named a time for what still waits");
  room.discard(slow.id);
  assert.equal((await room.send("next")).state, "sent");
});

test("once the chat has ended nobody waits for ever", async () => {
  const { chat, room, clock, service, status } = await polledRoom(0);
  service.before = ({ method }) => (method === "POST" ? problem(401, "token_revoked") : undefined);
  const waiting = [room.send("one"), room.send("two")];
  await clock.advance(2000);
  assert.equal(status(), "closed");
  waiting.push(room.send("three"));
  for (const { state, error } of await Promise.all(waiting)) assert.deepEqual([state, error.code], ["failed", "closed"], "kept nowhere, it is sent by nobody");
  chat.close();
});

test("a failed message that was stored after all is no double", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.before = (request) => {
    if (request.method !== "POST") return undefined;
    if (!service.room().messages.some(({ id }) => id === request.body.id)) {
      service.write(1, "r", { id: request.body.id, content: request.body.content, senderId: "me" });
    }
    throw new TypeError("the answer was lost");
  };
  void room.send("hello");
  await clock.advance(120_000);
  assert.deepEqual(states(room), []);
  assert.deepEqual(texts(room).filter((text) => text === "hello"), ["hello"]);
});

test("slowed down by the service, it waits as told and keeps the order", async () => {
  const { room, clock, service } = await polledRoom(0);
  let refusals = 1;
  service.before = ({ method }) => (method === "POST" && (refusals -= 1) >= 0 ? problem(429, "slow_mode", { "retry-after": "7" }) : undefined);
  void room.send("one");
  void room.send("two");
  // Polls wake the outbox; the pause asked for holds nevertheless.
  await clock.advance(6000);
  assert.equal(posts(service).length, 1);
  await clock.advance(1500);
  assert.deepEqual(service.room().messages.map(({ content }) => content), ["one", "two"]);
});

test("what waits goes out as soon as the socket is back", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service } = made;
  service.down = true;
  await socket().drop();
  const sent = room.send("hello");
  await clock.advance(500);
  assert.deepEqual(states(room), ["hello sending"]);
  await socket().receive(WELCOME);
  await subscribe(made);
  assert.equal(socket().last("send")?.message.content, "hello");
  await acknowledge(made);
  assert.equal((await sent).state, "sent");
});

test("a failed message can be discarded, one on its way can not", async () => {
  const { room, socket } = await liveRoom(3);
  void room.send("a");
  const [{ id }] = room.getSnapshot().pending;
  assert.equal(room.discard(id), false);
  assert.deepEqual(states(room), ["a sending"]);
  await socket().receive({ type: "error", id: socket().last("send").id, code: "forbidden", detail: "" });
  room.discard(id);
  assert.deepEqual(states(room), []);
  await settle();
});

test("what is written in the moment of the drop does not overtake what was under way", async () => {
  const { chat, room, socket, service, status } = await liveRoom(0);
  void room.send("one");
  let said = false;
  chat.connection.subscribe(() => {
    if (status() === "live" || said) return;
    said = true;
    void room.send("two");
  });
  await socket().drop();
  await settle();
  assert.deepEqual(posts(service).map(({ body }) => body.content), ["one", "two"]);
});
