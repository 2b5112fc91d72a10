/** Five tabs of one user share one socket, and go on within two seconds when the one that has it is closed or blocked. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEADLINE_MS, scratch, startBrowser, startService } from "./support.mjs";

let store, service, browser;

before(async () => {
  store = await scratch();
  service = await startService(store.database);
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await store?.remove();
});

async function call(method, path, token, body) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(service.url + path, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

/** In the page: connects, opens the lobby, and notes when it is live. */
async function begin(token) {
  const { connect } = await import("/client/tidings.js");
  window.chat = connect({ getToken: () => token });
  window.room = window.chat.room("lobby");
}

const isLive = (page) =>
  page.waitForFunction(() => window.chat.connection.getSnapshot().status === "live", null, { timeout: DEADLINE_MS });
const shows = (page, content) =>
  page.waitForFunction((text) => window.room.getSnapshot().messages.at(-1)?.content === text, content);
const list = (page) => page.evaluate(() => window.room.getSnapshot().messages.map(({ seq, id }) => `${seq} ${id}`));

test("five tabs are one socket, and lose nothing when the tab that has it closes or is blocked", async (t) => {
  const { token, user } = await call("POST", "/api/demo/session", null, { name: "Ann" });
  await call("PUT", `/api/chat/rooms/lobby/members/${user.id}`, token, {});
  const context = await browser.newContext();
  /** The tabs that have a socket open. */
  const having = new Set();
  const pages = [];
  for (let n = 0; n < 5; n += 1) {
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.on("websocket", (socket) => {
      having.add(page);
      socket.once("close", () => having.delete(page));
    });
    page.once("close", () => having.delete(page));
    await page.goto(`${service.url}/healthz`);
    await page.evaluate(begin, token);
    await isLive(page);
    pages.push(page);
  }
  assert.equal(having.size, 1, "one socket for all");
  await pages[3].evaluate(() => void window.room.send("from a tab without a socket"));
  for (const page of pages) await shows(page, "from a tab without a socket");

  for (const way of ["closed", "blocked"]) {
    const [leader] = having;
    const rest = pages.filter((page) => page !== leader && !page.isClosed());
    // Written while nobody leads.
    const write = (text) => call("POST", "/api/chat/rooms/lobby/messages", token, { content: text });
    const began = Date.now();
    if (way === "closed") await leader.close();
    else void leader.evaluate(() => { for (const end = Date.now() + 5000; Date.now() < end; ); }).catch(() => {});
    await write(`while it was ${way}`);
    for (const page of rest) await shows(page, `while it was ${way}`);
    const took = Date.now() - began;
    t.diagnostic(`with the leading tab ${way}, the others had the next message after ${took} ms`);
    assert.ok(took < 4000, `${took} ms`);
    for (const page of rest) await isLive(page);
  }
  const left = pages.filter((page) => !page.isClosed());
  await left[0].evaluate(() => void window.room.send("the last one"));
  for (const page of left) await shows(page, "the last one");
  const lists = await Promise.all(left.map(list));
  for (const other of lists) assert.deepEqual(other, lists[0]);
  await context.close();
});

test("a message is its tab's until that is closed: what was discarded there is sent by no other, what was left is", async () => {
  const { token, user } = await call("POST", "/api/demo/session", null, { name: "Ann" });
  await call("PUT", `/api/chat/rooms/lobby/members/${user.id}`, token, {});
  const context = await browser.newContext();
  const open = async (path = "/healthz") => {
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    await page.goto(service.url + path);
    await page.evaluate(begin, token);
    return page;
  };
  const isCut = (page) => page.route("**/messages", (route) => (route.request().method() === "POST" ? route.abort() : route.fallback()));
  const pending = (page) => page.evaluate(() => window.room.getSnapshot().pending.map(({ content, state }) => `${content} ${state}`));
  const waits = (page, count) =>
    page.waitForFunction((many) => window.room.getSnapshot().pending.filter(({ attempts }) => attempts > 0).length === many, count);

  // It can send neither way; the other one, which was there before, can.
  const watching = await open();
  await isLive(watching);
  const writing = await open();
  await isCut(writing);
  await writing.evaluate(() => window.chat.useSocket(false));
  await writing.evaluate(() => {
    void window.room.send("to be discarded");
    void window.room.send("to be left");
  });
  await waits(writing, 1);
  const young = await open();
  await isLive(young);
  for (const page of [watching, young]) assert.deepEqual(await pending(page), []);
  await writing.evaluate(() => window.room.discard(window.room.getSnapshot().pending[0].id));
  await waits(writing, 1);
  await writing.close();
  for (const page of [watching, young]) await shows(page, "to be left");
  const texts = await watching.evaluate(() => window.room.getSnapshot().messages.map(({ content }) => content));
  assert.equal(texts.filter((text) => text === "to be left").length, 1);
  assert.ok(!texts.includes("to be discarded"));
  const rest = () => new Promise((resolve) => {
    const opening = indexedDB.open("tidings-outbox");
    opening.onsuccess = () => (opening.result.transaction("messages").objectStore("messages").count().onsuccess = ({ target }) => resolve(target.result));
  });
  assert.equal(await young.evaluate(rest), 0);
  await context.close();
});
