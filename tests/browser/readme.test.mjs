/** The example in README.md, run as it is written, in a page of the service's origin. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { person, root, scratch, sees, startBrowser, startService } from "./support.mjs";

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

async function example() {
  const [, code] = (await readFile(`${root}README.md`, "utf8")).match(/^```js\n(.*?)^```$/ms) ?? [];
  assert.ok(code, "README.md has an example in JavaScript");
  return code;
}

test("the example connects, joins, sends and reads", async () => {
  const ben = await person(browser, service.url, "Ben");
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  const logged = [];
  const says = (text) =>
    logged.includes(text) || page.waitForEvent("console", { predicate: (message) => message.text() === text });
  page.on("console", (message) => logged.push(message.text()));
  await page.goto(`${service.url}/healthz`);
  await page.addScriptTag({ type: "module", content: await example() });
  for (const text of ["Ann: Hello", "live", "0 unread"]) await says(text);
  await sees(ben, "Hello");
  assert.equal(await ben.page.locator(".message", { hasText: "Hello" }).locator(".by bdi").innerText(), "Ann");
  assert.deepEqual(errors, []);
});
