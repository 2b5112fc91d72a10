/** The outbox outlives the page: kept by server and user, sent in order by the next one, forgotten at log-out. */
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { indexedDbStore } from "../../client/outbox-store.js";
import { liveRoom, ME, polledRoom, problem, settle, subscribe, texts, WELCOME, world } from "./support.js";

let store;
let made = [];
const states = (room) => room.getSnapshot().pending.map(({ state, content }) => `${content} ${state}`);
const posted = (service) => service.matching("POST", /\/messages$/).map(({ body }) => body.content);
const server = "http://chat.test/";

/** The database answers in its own time. */
async function until(holds) {
  for (const end = Date.now() + 5000; !(await holds()); ) {
    assert.ok(Date.now() < end, `never came: ${holds}`);
    await settle();
  }
}

const kept = (scope = [server]) => store.load(scope);
const keeps = (count, scope) => until(async () => (await kept(scope)).length === count);

/** A page in the same browser, whose room `r` has what the service has. */
async function page(open, count, options) {
  const opened = await open(count, { store, ...options });
  made.push(opened);
  return opened;
}

/** Its renderer is gone: nothing is said to anyone any more, and no timer of it runs. */
function vanish(gone) {
  gone.service.down = true;
  gone.clock.setTimeout = () => 0;
}

beforeEach(() => {
  store = indexedDbStore(globalThis.indexedDB);
});

afterEach(async () => {
  for (const { chat } of made.splice(0)) chat.close();
  await store.clear([]);
});

test("what was on its way when the page went is sent by the next one, in order and under its id", async () => {
  const before = await page(liveRoom, 0);
  void before.room.send("one");
  void before.room.send({ content: "two", metadata: { mood: "keen" } });
  await keeps(2);
  const ids = before.room.getSnapshot().pending.map(({ id }) => id);
  vanish(before);
  const after = await page(polledRoom, 0);
  void after.room.send("three");
  await until(() => posted(after.service).length === 3);
  await until(() => after.room.getSnapshot().pending.length === 0);
  assert.deepEqual(posted(after.service), ["one", "two", "three"]);
  const [first, second] = after.service.matching("POST", /\/messages$/);
  assert.deepEqual([first.body.id, second.body.id], ids);
  assert.deepEqual(second.body.metadata, { mood: "keen" });
  await keeps(0);
});

test("what was stored after all, though the page never heard of it, is there once", async () => {
  const before = await page(liveRoom, 2);
  void before.room.send("hello");
  await keeps(1);
  const { id } = before.socket().last("send").message;
  vanish(before);
  const after = world({ store });
  made.push(after);
  after.service.write(2);
  after.service.write(1, "r", { id, content: "hello", senderId: ME.id });
  const room = after.chat.room("r");
  await settle();
  await after.socket().receive(WELCOME);
  await subscribe(after);
  await keeps(0);
  await until(() => states(room).length === 0);
  assert.deepEqual(texts(room).filter((text) => text === "hello"), ["hello"]);
});

test("the service's no is kept with its reason, can be tried again, and given up", async () => {
  const before = await page(polledRoom, 0);
  before.service.before = ({ method }) =>
    method === "POST" ? { status: 422, body: { code: "content_rejected", detail: "not here", reason: "a word" } } : undefined;
  await before.room.send("rubbish");
  await until(async () => (await kept())[0]?.error !== null);
  vanish(before);
  const after = await page(polledRoom, 0);
  await until(() => states(after.room).length === 1);
  const [{ id, state, error }] = after.room.getSnapshot().pending;
  assert.equal(state, "failed");
  assert.deepEqual([error.code, error.message, error.details.reason], ["content_rejected", "not here", "a word"]);
  assert.deepEqual(posted(after.service), [], "and is not sent by itself");
  after.service.before = before.service.before;
  await after.room.retry(id);
  assert.equal(posted(after.service).length, 1);
  after.room.discard(id);
  await keeps(0);
});

for (const [status, code] of [[401, "token_expired"], [408, "http_408"], [425, "http_425"], [429, "http_429"], [500, "internal"], [503, "unavailable"]]) {
  test(`${status} is no answer to the message: it is tried on and on, and by the next page`, async () => {
    const before = await page(polledRoom, 0);
    before.service.before = ({ method }) => (method === "POST" ? problem(status, code) : undefined);
    void before.room.send("hello");
    await keeps(1);
    await before.clock.advance(120_000);
    assert.deepEqual(states(before.room), ["hello sending"]);
    const tries = posted(before.service).length;
    assert.ok(status === 401 ? tries === 1 : tries > 5, `${tries}`);
    vanish(before);
    const after = await page(polledRoom, 0);
    await until(() => posted(after.service).length === 1);
    await keeps(0);
  });
}

for (const [status, code] of [[400, "invalid"], [403, "quota_exceeded"], [404, "room_not_found"], [409, "message_id_conflict"], [413, "too_large"]]) {
  test(`${status} ${code} is final`, async () => {
    const { room, service, clock } = await page(polledRoom, 0);
    service.before = ({ method }) => (method === "POST" ? problem(status, code) : undefined);
    const sent = room.send("hello");
    await keeps(1);
    assert.equal((await sent).error.code, code);
    await clock.advance(60_000);
    assert.equal(posted(service).length, 1);
    await until(async () => (await kept())[0].error?.code === code);
    const after = await page(polledRoom, 0);
    await until(() => states(after.room)[0] === "hello failed");
    await after.clock.advance(60_000);
    assert.deepEqual(posted(after.service), []);
  });
}

test("another user, another server and another room get nothing of it", async () => {
  const before = await page(liveRoom, 0);
  void before.room.send("mine");
  await keeps(1);
  vanish(before);
  const other = { body: { user: { id: "other", name: "Other", avatarUrl: null } } };
  const another = world({ store, socket: false });
  another.service.before = ({ path }) => (path === "/api/session" ? other : undefined);
  const elsewhere = world({ store, socket: false, baseUrl: "http://elsewhere.test" });
  made.push(another, elsewhere);
  for (const { chat, service } of [another, elsewhere]) {
    service.room();
    const sent = chat.room("r").send("theirs");
    await sent;
    assert.deepEqual(posted(service), ["theirs"]);
  }
  const neighbour = await page(polledRoom, 0);
  neighbour.service.room("s");
  await neighbour.chat.room("s").send("there");
  await keeps(0, [server, ME.id, "s"]);
});

test("logging out forgets this user's, and only theirs", async () => {
  const { chat, room, status } = await page(liveRoom, 0);
  void room.send("mine");
  await keeps(1);
  const theirs = { id: "x", place: 1, createdAt: "", draft: { content: "theirs" }, error: null };
  await store.put([server, "other", "r"], theirs);
  await chat.logOut();
  assert.equal(status(), "closed");
  assert.deepEqual(await kept(), [theirs]);
});

test("a suspended user's and a closed chat's stay kept", async () => {
  const { chat, room, socket } = await page(liveRoom, 0);
  void room.send("mine");
  await keeps(1);
  await socket().drop(4005);
  const late = await room.send("later");
  assert.deepEqual([late.state, late.error.code], ["sending", "closed"]);
  chat.close();
  await keeps(2);
  assert.deepEqual((await kept()).map(({ error }) => error), [null, null]);
});

for (const [name, broken] of [
  ["fails", () => Promise.reject(new Error("no database here"))],
  ["never answers", () => new Promise(() => {})],
]) {
  test(`a store that ${name} is in nobody's way`, async () => {
    const { room, service, clock } = await polledRoom(0, { store: { load: broken, put: broken, remove: broken, clear: broken } });
    const sent = room.send("hello");
    await clock.advance(2000);
    assert.equal((await sent).state, "sent");
    assert.deepEqual(posted(service), ["hello"]);
  });
}
