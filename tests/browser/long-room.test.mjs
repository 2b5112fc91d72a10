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

/** To the very top, as one who drags the bar: where it is there already, nothing would move and nothing be asked for. */
const toTop = ({ page }) =>
  page.locator("#scroller").evaluate(async (node) => {
    if (node.scrollTop === 0) {
      node.scrollTop = 1;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    node.scrollTop = 0;
  });

const firstRow = ({ page }) => page.locator(".message .bubble").first().innerText();
const begins = ({ page }, otherwiseThan) =>
  page.waitForFunction((was) => document.querySelector(".message .bubble").innerText !== was, otherwiseThan);

test("who scrolls away is not put back by what is rendered before that is noticed", async () => {
  await ann.page.evaluate(() => {
    // Frames are late on a busy machine, and the page renders without them then: this holds that moment fast.
    const { setTimeout } = window;
    const late = [];
    window.setTimeout = (run, ms, ...more) => (ms === 250 ? late.push(run) : setTimeout(run, ms, ...more));
    dispatchEvent(new Event("focus"));
    window.setTimeout = setTimeout;
    document.getElementById("scroller").scrollTop = 0;
    for (const run of late) run();
  });
  await ann.page.locator("#latest").waitFor({ state: "visible" });
  await ann.page.locator("#latest").click();
  await ann.page.locator("#latest").waitFor({ state: "hidden" });
});

test("reading back reaches the first message, with a bounded page all the way", async () => {
  const first = ann.page.locator(".bubble", { hasText: "the very first" });
  while (!(await first.isVisible())) {
    const before = await firstRow(ann);
    await toTop(ann);
    await begins(ann, before);
    assert.ok((await rows(ann)) <= MOST_ROWS, `${await rows(ann)} rows`);
  }
  await toTop(ann);
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
  for (let step = 0; step < 6; step += 1) {
    const before = await firstRow(ann);
    await toTop(ann);
    await begins(ann, before);
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
