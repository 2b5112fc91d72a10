/** Whose an unsent message is, where several tabs have its room open: its writer's, until that tab is gone. */
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { indexedDbStore } from "../../client/outbox-store.js";
import { ME, problem, settle } from "./support.js";
import { browser } from "./tabs-support.js";

const server = "http://chat.test/";
let made, store, tabs;

const states = ({ room }) => room.getSnapshot().pending.map(({ state, content }) => `${content} ${state}`);
const said = () => made.service.room().messages.map(({ content }) => content);
const kept = () => store.load([server]);

/** The database answers in its own time. */
async function until(holds) {
  for (const end = Date.now() + 20_000; !(await holds()); ) {
    assert.ok(Date.now() < end, `never came: ${holds}`);
    await settle();
  }
}

/** Whatever has begun has come to its end: nothing more is to come of it. */
async function quiet() {
  for (let turn = 0; turn < 20; turn += 1) {
    await kept();
    await settle();
  }
}

/** A tab of the same browser that polls; `refuses` answers its sends. */
async function tab({ refuses = () => undefined, ...options } = {}) {
  let opened;
  opened = await made.tab({
    store,
    socket: false,
    tabs: false,
    fetch: async (url, init) => {
      if (opened?.life.state === "dead") return new Promise(() => {});
      const answer = init.method === "POST" ? refuses() : undefined;
      if (answer === undefined) return made.service.fetch(url, init);
      if (answer === "down") throw new TypeError("fetch failed");
      return { status: answer.status, headers: new Headers(answer.headers), text: async () => JSON.stringify(answer.body) };
    },
    ...options,
  });
  tabs.push(opened);
  await made.clock.advance(100);
  await quiet();
  return opened;
}

const down = () => "down";

beforeEach(() => {
  store = indexedDbStore(globalThis.indexedDB);
  made = browser();
  made.service.room();
  tabs = [];
});

afterEach(async () => {
  for (const { chat } of tabs) chat.close();
  await store.clear([]);
});

test("what its writer discards is sent by no other tab", async () => {
  let answer = "down";
  const a = await tab({ refuses: () => answer });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  const b = await tab();
  assert.deepEqual([states(a), states(b)], [["mine sending"], []], "it is the tab's that wrote it");
  answer = problem(403, "forbidden");
  await made.clock.advance(60_000);
  assert.deepEqual(states(a), ["mine failed"]);
  a.room.discard(a.room.getSnapshot().pending[0].id);
  await quiet();
  await a.die();
  await made.clock.advance(60_000);
  await quiet();
  assert.deepEqual([said(), states(b)], [[], []]);
});

test("what a tab had written and not sent when it died is sent by another that was open, in its order", async () => {
  const b = await tab();
  const a = await tab({ refuses: down });
  void a.room.send("one");
  void a.room.send("two");
  await until(async () => (await kept()).length === 2);
  await quiet();
  assert.deepEqual([states(b), said()], [[], []], "not as long as it lives");
  await a.die();
  await until(() => said().length === 2);
  await quiet();
  assert.deepEqual(said(), ["one", "two"]);
  assert.deepEqual(await kept(), []);
});

test("a tab that opens the room later takes over at once, and one that dies is followed by the next", async () => {
  const a = await tab({ refuses: down });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  await a.die();
  const b = await tab({ refuses: down });
  assert.deepEqual(states(b), ["mine sending"]);
  const c = await tab();
  assert.deepEqual(states(c), []);
  await b.die();
  await until(() => said().length === 1);
  await quiet();
  assert.deepEqual(said(), ["mine"]);
});

test("of several tabs one takes over", async () => {
  const others = [];
  for (let n = 0; n < 3; n += 1) others.push(await tab({ refuses: down }));
  const a = await tab({ refuses: down });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  await quiet();
  await a.die();
  await until(() => others.some((other) => states(other).length > 0));
  await quiet();
  assert.deepEqual(others.flatMap(states), ["mine sending"]);
});

test("what was refused is not shown by a tab that had been open, but by the one that is opened next", async () => {
  const b = await tab();
  await made.clock.advance(10_000);
  const a = await tab({ refuses: () => problem(422, "content_rejected") });
  await a.room.send("rubbish");
  await until(async () => (await kept())[0]?.error !== null);
  await quiet();
  await a.die();
  await quiet();
  assert.deepEqual(states(b), []);
  const again = await tab();
  assert.deepEqual([states(again), states(b), said()], [["rubbish failed"], [], []]);
});

test("a room that is closed here leaves its messages to the other tabs, and to its next opening", async () => {
  const a = await tab({ refuses: down });
  const sent = a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  a.room.close();
  assert.deepEqual([(await sent).state, (await sent).error.code], ["sending", "closed"]);
  await quiet();
  a.room = a.chat.room("r");
  await quiet();
  assert.deepEqual(states(a), ["mine sending"]);
  await tab();
  a.room.close();
  await until(() => said().length === 1);
});

test("logging out leaves nothing to the other tabs, however long the store takes over it", async () => {
  let forget;
  const slow = { ...store, clear: async (scope) => (await new Promise((open) => (forget = open)), store.clear(scope)) };
  const b = await tab();
  const a = await tab({ refuses: down, store: slow });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  await quiet();
  const out = a.chat.logOut();
  await quiet();
  forget();
  await out;
  await quiet();
  await made.clock.advance(10_000);
  await quiet();
  assert.deepEqual([states(b), said(), await kept()], [[], [], []]);
});

test("without locks a message is looked for once more before another tab sends it", async () => {
  let answer = "down";
  const without = { locks: undefined, openChannel: undefined };
  const a = await tab({ ...without, refuses: () => answer });
  void a.room.send("discarded");
  void a.room.send("refused");
  void a.room.send("left");
  await until(async () => (await kept()).length === 3);
  const b = await tab({ ...without, refuses: () => answer });
  assert.equal(states(b).length, 3, "nobody can tell whether its writer is still there");
  a.room.discard(a.room.getSnapshot().pending.find(({ content }) => content === "discarded").id);
  await quiet();
  const row = (await kept()).find(({ draft }) => draft.content === "refused");
  const error = { code: "forbidden", detail: "no", status: 403, details: {} };
  await store.put([server, ME.id, "r"], { ...row, error });
  await a.die();
  answer = undefined;
  await made.clock.advance(60_000);
  await until(() => said().length === 1);
  await made.clock.advance(60_000);
  await quiet();
  assert.deepEqual([said(), states(b)], [["left"], ["refused failed"]]);
});

test("without locks and with a store that fails meanwhile it is sent all the same", async () => {
  const without = { locks: undefined, openChannel: undefined };
  const a = await tab({ ...without, refuses: down });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  let loads = 0;
  const failing = { ...store, load: (scope) => ((loads += 1) > 1 ? Promise.reject(new Error("gone")) : store.load(scope)) };
  await tab({ ...without, store: failing });
  await until(() => said().length === 1);
  assert.equal(loads, 2);
});

for (const [name, broken] of [
  ["fails", () => Promise.reject(new Error("no database here"))],
  ["never answers", () => new Promise(() => {})],
]) {
  test(`locks that are refused, and a store that ${name}, lose nothing`, async () => {
    const refused = { request: () => Promise.reject(new Error("SecurityError")) };
    for (const options of [{ locks: refused }, { store: { load: broken, put: broken, remove: broken, clear: broken } }]) {
      const a = await tab(options);
      void a.room.send("mine");
      await made.clock.advance(3000);
      await until(() => said().length === 1);
      made.service.rooms.clear();
      made.service.room();
    }
  });
}

test("locks that are refused are as good as none: what was left is sent all the same", async () => {
  const refused = { request: () => Promise.reject(new Error("SecurityError")) };
  const a = await tab({ locks: refused, refuses: down });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  await a.die();
  await tab({ locks: refused });
  await until(() => said().length === 1);
});

test("a store that stops answering in the middle loses nothing that it gave away", async () => {
  const a = await tab({ refuses: down });
  void a.room.send("mine");
  await until(async () => (await kept()).length === 1);
  await a.die();
  // It can be read from, and not written to: the quota is used up.
  const b = await tab({ store: { ...store, put: () => Promise.reject(new Error("quota")), remove: () => Promise.reject(new Error("quota")) } });
  await until(() => said().length === 1);
  await quiet();
  assert.deepEqual([said(), states(b)], [["mine"], []]);
});
