/** What moderation does to a message is seen on the page: a mark on what was flagged, the reason under what was refused. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { person, say, scratch, sees, startBrowser, startService } from "./support.mjs";

let store, service, browser;

before(async () => {
  store = await scratch();
  const words = store.database.replace("sqlite:", "").replace("tidings.db", "words.txt");
  await writeFile(words, "flag: spoon\nreject: fork\n");
  service = await startService(store.database, 0, { MODERATION_WORDS_FILE: words });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await store?.remove();
});

test("what was flagged is marked, and what was refused says why and can be given up", async () => {
  const ann = await person(browser, service.url, "Ann");
  await say(ann, "a spoon");
  await sees(ann, "a spoon");
  await ann.page.locator(".bubble", { hasText: "a spoon" }).getByText("under review").waitFor();
  await say(ann, "a fork");
  const refused = ann.page.locator(".message.failed", { hasText: "a fork" });
  await refused.getByText("Not sent").waitFor();
  await refused.getByRole("button", { name: "Discard" }).click();
  await refused.waitFor({ state: "detached" });
  assert.deepEqual(ann.complaints.filter((text) => !text.includes("422")), []);
  await ann.context.close();
});
