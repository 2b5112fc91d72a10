/**
 * What moderation does to a message is seen on the page: a mark on what was flagged, the reason under what was refused, and how
 * much one may write, before anything is refused.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { SignJWT } from "jose";
import { DEADLINE_MS, person, say, scratch, sees, startBrowser, startService } from "./support.mjs";

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

const JWT_SECRET = "a secret that only this test and its service know, of 32 bytes and more";
const token = (claims) => new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1h").sign(new TextEncoder().encode(JWT_SECRET));

test("slow mode and what is left of the quota are told before a message is refused", async () => {
  const own = await scratch();
  const strict = await startService(own.database, 0, { JWT_SECRET, HOST: "127.0.0.1" });
  const application = await token({ scope: "chat:admin" });
  const put = async (path, body) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${application}` };
    const answer = await fetch(`${strict.url}/api/admin/${path}`, { method: "PUT", headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  };
  await put("users/ann", { name: "Ann" });
  await put("quotas/daily", { perDay: 2, timeZone: "UTC" });
  await put("rooms/desk", { type: "GROUP", title: "Desk", quota: "daily", members: [{ userId: "ann" }] });
  await put("rooms/hall", { type: "GROUP", title: "Hall", slowModeSeconds: 120, members: [{ userId: "ann", role: "OWNER" }] });

  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const ann = { page };
  await page.goto(`${strict.url}/#desk`);
  await page.getByLabel("Your name").fill("Ann");
  await page.getByRole("button", { name: "Come in" }).click();
  await page.getByLabel("Token").fill(await token({ sub: "ann", name: "Ann" }));
  await page.getByRole("button", { name: "Come in" }).click();
  const allowance = page.locator("#allowance");
  const tells = (text) => allowance.filter({ hasText: text }).waitFor();
  await tells("2 of 2 messages left today");
  await say(ann, "one");
  await sees(ann, "one");
  await tells("1 of 2 messages left today");
  await put("rooms/desk", { slowModeSeconds: 30 });
  await say(ann, "two");
  await tells("Slow mode: one message every 30 seconds");
  await page.locator(".message.pending", { hasText: "two" }).getByText("Not sent yet").waitFor();
  await page.locator(".message.pending", { hasText: "two" }).getByRole("button", { name: "Discard" }).click();
  await put("rooms/desk", { slowModeSeconds: 0 });
  await say(ann, "three");
  await sees(ann, "three");
  await tells("No messages left today, more from");
  assert.equal(await allowance.getAttribute("class"), "allowance used-up");
  assert.doesNotMatch(await allowance.innerText(), /Slow mode/);
  // Who keeps order is not slowed down, and this room has no quota.
  await page.getByRole("navigation", { name: "Rooms" }).getByText("Hall").click();
  await page.getByRole("heading", { name: "Hall", level: 1 }).waitFor();
  await allowance.waitFor({ state: "hidden" });
  await put("rooms/hall", { members: [{ userId: "ann", role: "MEMBER" }] });
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await tells("Slow mode: one message every 2 minutes");
  await page.context().close();
  await strict.stop();
  await own.remove();
});
