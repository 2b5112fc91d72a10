/** A room of thousands of messages: the page stays quick, holds a bounded part of it, and reaches all of it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { person, say, scratch, sees, startBrowser, startService, stranger, transportIs } from "./support.mjs";

const COUNT = 2000;
const AT_ONCE = 50;
/** The page's own bound, and a few rows of other kinds: days, joinings, what is new. */
const MOST_ROWS = 310;

let store, service, browser, ann, ben;

before(async () => {
  store = await scratch();
  service = await startService(store.database, 0, { LIMITS: "off" });
  browser = await startBrowser();
  ann = await person(browser, service.url, "Ann");
  ben = await stranger(service.url, "Ben");
  await transportIs(ann, "live");
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await store?.remove();
});

const rows = ({ page }) => page.locator("#messages > li").count();

async function writeMany() {
  await ben.write("the very first");
  for (let written = 2; written < COUNT; written += AT_ONCE) {
    const texts = Array.from({ length: Math.min(AT_ONCE, COUNT - written) }, (_, at) => `message ${written + at}`);
    await Promise.all(texts.map((text) => ben.write(text)));
  }
  await ben.write("the very last");
}

test("two thousand messages coming in do not freeze the page", async () => {
  await ann.page.evaluate(() => {
    let last = performance.now();
    window.longestFrame = 0;
    requestAnimationFrame(function next(now) {
      window.longestFrame = Math.max(window.longestFrame, now - last);
      last = now;
      requestAnimationFrame(next);
    });
  });
  await writeMany();
  await sees(ann, "the very last");
  const longest = await ann.page.evaluate(() => window.longestFrame);
  assert.ok(longest < 1000, `the longest frame took ${longest} ms`);
  assert.ok((await rows(ann)) <= MOST_ROWS, `${await rows(ann)} rows`);
  assert.equal(await ann.page.getByText("the very first").count(), 0);
});

test("reading back reaches the first message, with a bounded page all the way", async () => {
  const scroller = ann.page.locator("#scroller");
  const firstRow = () => ann.page.locator(".message .bubble").first().innerText();
  const first = ann.page.locator(".bubble", { hasText: "the very first" });
  while (!(await first.isVisible())) {
    const before = await firstRow();
    await scroller.evaluate((node) => (node.scrollTop = 0));
    await ann.page.waitForFunction((was) => document.querySelector(".message .bubble").textContent !== was, before);
    assert.ok((await rows(ann)) <= MOST_ROWS, `${await rows(ann)} rows`);
  }
  await scroller.evaluate((node) => (node.scrollTop = 0));
  await ann.page.getByRole("button", { name: "Load earlier messages" }).waitFor({ state: "hidden" });
});

test("a message that comes in meanwhile is counted, and one step away", async () => {
  await ben.write("news for a reader of old things");
  await ann.page.getByRole("button", { name: "1 new message" }).click();
  await sees(ann, "news for a reader of old things");
  assert.ok((await rows(ann)) <= MOST_ROWS);
  await say(ann, "I was far back");
  await sees(ann, "I was far back");
});

test("reading on from far back arrives at the newest too", async () => {
  const scroller = ann.page.locator("#scroller");
  const top = () => ann.page.locator(".message .bubble").first().innerText();
  for (let step = 0; step < 6; step += 1) {
    const before = await top();
    await scroller.evaluate((node) => (node.scrollTop = 0));
    await ann.page.waitForFunction((was) => document.querySelector(".message .bubble").textContent !== was, before);
  }
  const last = ann.page.locator(".bubble", { hasText: "I was far back" });
  assert.equal(await last.count(), 0, "it is out of the page by now");
  const deadline = Date.now() + 20_000;
  while ((await last.count()) === 0) {
    assert.ok(Date.now() < deadline, "the newest message was never reached");
    await scroller.evaluate((node) => new Promise((done) => {
      node.scrollTop = node.scrollHeight;
      requestAnimationFrame(() => requestAnimationFrame(done));
    }));
  }
});
