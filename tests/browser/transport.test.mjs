/**
 * The client in a real browser behind a network that does what networks do. Whatever it does, the page's list is the
 * service's: every message, once, in its place.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Front } from "./front.mjs";
import { DEADLINE_MS, scratch, startBrowser, startService } from "./support.mjs";

const SECRET = "the browser tests' own key, which is longer than 32 bytes";
/** How long a socket has to say welcome, how often a page in front polls, and one in the background. */
const [WELCOME_MS, FRONT_MS, BACK_MS] = [2500, 2500, 15_000];

let store, service, browser;

before(async () => {
  store = await scratch();
  service = await startService(store.database, 0, { JWT_SECRET: SECRET, HOST: "127.0.0.1", LIMITS: "off" });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await store?.remove();
});

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token as the application would sign it. */
function token(sub, seconds = 3600) {
  const text = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ sub, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

async function call(method, path, who, body) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token(who)}` };
  const answer = await fetch(service.url + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

let rooms = 0;

/** A page with the client on it, a room that ann writes in and ben's page shows, and a network of their own. */
async function stage({ options = {}, prepare = () => {} } = {}) {
  const id = `room-${(rooms += 1)}`;
  for (const who of ["ann", "ben"]) await call("GET", "/api/session", who);
  await call("POST", "/api/chat/rooms", "ann", { id, type: "GROUP", memberIds: ["ben"] });
  const front = await Front.before(service.port);
  prepare(front);
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.exposeFunction("freshToken", () => token("ben", options.tokenSeconds));
  // Any page of the service's origin will do; this one has nothing on it.
  await page.goto(`${front.url}/healthz`);
  await page.evaluate(begin, { id, options });
  const write = (content) => call("POST", `/api/chat/rooms/${id}/messages`, "ann", { content: String(content) });
  const leave = async () => {
    await context.close();
    front.close();
  };
  return { id, front, page, context, write, leave };
}

/** In the page: connects, opens the room, and looks at its list whenever it changes. */
async function begin({ id, options }) {
  const { connect } = await import("/client/tidings.js");
  window.tokens = 0;
  window.began = performance.now();
  const getToken = () => ((window.tokens += 1), window.freshToken());
  window.chat = connect({ getToken, ...options });
  window.room = window.chat.room(id);
  window.faults = [];
  window.states = [];
  window.chat.connection.subscribe(() => {
    const { status } = window.chat.connection.getSnapshot();
    if (window.states.at(-1)?.status !== status) window.states.push({ status, at: performance.now() });
  });
  window.room.subscribe(() => {
    const { messages, complete } = window.room.getSnapshot();
    const ordered = messages.every(({ seq }, at) => at === 0 || seq > messages[at - 1].seq);
    const whole = !complete || messages.every(({ seq }, at) => at === 0 || seq === messages[at - 1].seq + 1);
    if (!ordered || !whole) window.faults.push(messages.map(({ seq }) => seq).slice(-20));
  });
}

const statusIs = ({ page }, status) =>
  page.waitForFunction((status) => window.chat.connection.getSnapshot().status === status, status);
const shows = ({ page }, content) =>
  page.waitForFunction((text) => window.room.getSnapshot().messages.at(-1)?.content === text, String(content), { timeout: 60_000 });

/** The page's list is the service's, from the first message it holds, and never was out of order. */
async function assertSame({ id, page }, { all = false } = {}) {
  const shown = await page.evaluate(() => window.room.getSnapshot().messages.map(({ seq, id, rev }) => ({ seq, id, rev })));
  const held = [];
  for (let before = ""; ; ) {
    const { messages, cursor } = await call("GET", `/api/chat/rooms/${id}/messages?limit=100${before}`, "ann");
    held.unshift(...messages.map(({ seq, id, rev }) => ({ seq, id, rev })));
    if (cursor === null) break;
    before = `&before=${cursor}`;
  }
  assert.ok(shown.length > 0);
  assert.ok(!all || shown.length === held.length, `${shown.length} of ${held.length} are shown`);
  assert.deepEqual(shown, held.slice(held.length - shown.length));
  assert.deepEqual(await page.evaluate(() => window.faults), [], "the list was never out of order, doubled or with a hole");
}

describe("a socket that is not to be had", { concurrency: true }, () => {
  for (const upgrades of [403, 400, "unanswered", "swallowed"]) {
    test(`upgrades are ${typeof upgrades === "number" ? `answered ${upgrades}` : upgrades}: it polls, and comes back`, async (t) => {
      const at = await stage({ prepare: (front) => (front.upgrades = upgrades) });
      await statusIs(at, "polling");
      const polling = await at.page.evaluate(() => window.states.find(({ status }) => status === "polling").at - window.began);
      assert.ok(polling < WELCOME_MS + 2000, `polling after ${polling} ms`);
      for (let n = 0; n < 5; n += 1) await at.write(n);
      await shows(at, 4);
      assert.ok(at.front.asked > 0 && at.front.polls.most === 1, "one poll at a time, while the socket is tried");
      at.front.upgrades = "open";
      const begin = Date.now();
      await statusIs(at, "live");
      t.diagnostic(`polling ${Math.round(polling)} ms after the first try, live ${Date.now() - begin} ms after upgrades were let through`);
      await at.write("live");
      await shows(at, "live");
      await assertSame(at);
      await at.leave();
    });
  }

  test("a socket that is cut every second loses nothing", async () => {
    const at = await stage();
    await statusIs(at, "live");
    for (let round = 0; round < 12; round += 1) {
      for (let n = 0; n < 20; n += 1) await at.write(`${round}.${n}`);
      at.front.cut();
      if (round % 3 === 2) await statusIs(at, "live");
    }
    await at.write("last");
    await shows(at, "last");
    await assertSame(at);
    await at.leave();
  });

  test("a page that is told to move does so while messages come, ten times, and is live all along", async (t) => {
    const at = await stage();
    await statusIs(at, "live");
    let written = 0;
    for (let round = 1; round <= 10; round += 1) {
      at.front.tell({ type: "drain", reconnectInMs: 50 });
      for (const begin = Date.now(); at.front.asked <= round || at.front.open > 1; ) {
        assert.ok(Date.now() - begin < DEADLINE_MS, `${at.front.asked} sockets were asked for, ${at.front.open} are open`);
        await at.write((written += 1));
      }
    }
    t.diagnostic(`${written} messages were written meanwhile`);
    await at.write("last");
    await shows(at, "last");
    assert.deepEqual(await at.page.evaluate(() => window.states.map(({ status }) => status)), ["live"]);
    assert.equal(await at.page.evaluate(() => window.chat.stats.getSnapshot().drops), 0);
    assert.equal(at.front.asked, 11);
    await assertSame(at);
    await at.leave();
  });

  test("from a lost socket to the first poll it takes no time that one would notice", async (t) => {
    const at = await stage();
    await statusIs(at, "live");
    at.front.upgrades = 403;
    const polls = at.front.polls.times.length;
    const begin = Date.now();
    at.front.cut();
    await statusIs(at, "polling");
    const took = at.front.polls.times[polls] - begin;
    t.diagnostic(`first poll ${took} ms after the cut`);
    assert.ok(took < 1000, `${took} ms`);
    await at.leave();
  });

  test("offline is said, and what was written meanwhile is there on the way back", async () => {
    const at = await stage({ prepare: (front) => (front.upgrades = 403) });
    await statusIs(at, "polling");
    await at.context.setOffline(true);
    await statusIs(at, "offline");
    for (let n = 0; n < 30; n += 1) await at.write(n);
    await at.context.setOffline(false);
    await shows(at, 29);
    at.front.upgrades = "open";
    await statusIs(at, "live");
    await assertSame(at);
    await at.leave();
  });

  test("in the background it polls rarely, and at once when it is shown", async () => {
    const at = await stage({ options: { socket: false, hold: false } });
    await statusIs(at, "polling");
    const show = (hidden) =>
      at.page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await show(true);
    const { times } = at.front.polls;
    const before = times.length;
    await at.page.waitForFunction((polls) => window.chat.stats.getSnapshot().polls >= polls, before + 2, { timeout: 3 * BACK_MS });
    assert.ok(times[before + 1] - times[before] > 0.9 * BACK_MS, `${times[before + 1] - times[before]} ms between two in the background`);
    await at.write("news");
    const shown = Date.now();
    await show(false);
    await shows(at, "news");
    assert.ok(Date.now() - shown < FRONT_MS, "it did not wait for its turn");
    await at.leave();
  });

  test("a token that runs out is renewed on the open socket", async () => {
    const at = await stage({ options: { tokenSeconds: 62 } });
    await statusIs(at, "live");
    await at.page.waitForFunction(() => window.tokens >= 2);
    await at.write("still here");
    await shows(at, "still here");
    assert.equal(at.front.asked, 1, "it is the same socket");
    assert.deepEqual(await at.page.evaluate(() => window.states.map(({ status }) => status)), ["live"]);
    await at.leave();
  });

  test("polls carry little: only meta while nothing happens, and far fewer bytes than the whole list", async (t) => {
    const at = await stage({ options: { socket: false, hold: false } });
    for (let n = 0; n < 50; n += 1) await at.write(`message number ${n}, as long as people write them`);
    await shows(at, "message number 49, as long as people write them");
    const { front, page } = at;
    const stats = () => page.evaluate(() => window.chat.stats.getSnapshot());
    const [before, bytes] = [await stats(), front.bytes.meta + front.bytes.messages];
    await at.write("one more");
    await page.waitForFunction((polls) => window.chat.stats.getSnapshot().polls >= polls, before.polls + 10, { timeout: 40_000 });
    const now = await stats();
    const [polls, meta, used] = [now.polls - before.polls, now.pollsMetaOnly - before.pollsMetaOnly, front.bytes.meta + front.bytes.messages - bytes];
    // The older application read the last 50 every 3 s; over the same time these would have been so many bytes.
    const whole = await fetch(`${service.url}/api/chat/rooms/${at.id}/messages?limit=50`, { headers: { authorization: `Bearer ${token("ben")}` } });
    const size = (await whole.text()).length + [...whole.headers].join("  ").length;
    const full = (polls * FRONT_MS * size) / 3000;
    t.diagnostic(`${meta} of ${polls} polls carried only meta; ${used} bytes against ${Math.round(full)}, ${Math.round(100 - (100 * used) / full)} % fewer`);
    assert.equal(front.polls.most, 1, "never two polls in flight");
    assert.ok(polls - meta <= 1, `${polls - meta} polls led to messages`);
    assert.ok(used < 0.3 * full, "at least 70 % fewer bytes");
    await assertSame(at);
    await at.leave();
  });
});

test("ten thousand messages while the transport is switched two hundred times: all of them, once, in order", async (t) => {
  const at = await stage();
  await statusIs(at, "live");
  let written = 0;
  const writers = Array.from({ length: 16 }, async () => {
    while (written < 10_000) await at.write((written += 1));
  });
  let switches = 0;
  const switching = (async () => {
    while (switches < 200) {
      // Now for long enough to poll or to come live, now not.
      await at.page.evaluate((on) => window.chat.useSocket(on), switches % 2 === 1);
      if (switches % 8 === 7) await statusIs(at, "live");
      if (switches % 8 === 4) await statusIs(at, "polling");
      if (switches % 5 === 0) at.front.cut();
      switches += 1;
    }
  })();
  const begin = Date.now();
  await Promise.all([...writers, switching]);
  await at.page.evaluate(() => window.chat.useSocket(true));
  await at.write("last");
  await shows(at, "last");
  t.diagnostic(`${written} written and ${switches} switches in ${Date.now() - begin} ms; ${at.front.asked} sockets, ${at.front.polls.times.length} polls`);
  await assertSame(at, { all: true });
  await at.leave();
});
