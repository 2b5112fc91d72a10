/**
 * Two people at the built-in page, in a real browser, with the real service: they talk over the socket,
 * one is cut off and goes on by polling, the service is stopped and started, and nothing is lost or doubled.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messagesOf, person, say, scratch, sees, startBrowser, startService, transportIs } from "./support.mjs";

let store, service, browser, ann, ben;
/** Everything said so far, in the order it was said. */
const said = [];

before(async () => {
  store = await scratch();
  service = await startService(store.database);
  browser = await startBrowser();
  ann = await person(browser, service.url, "Ann");
  ben = await person(browser, service.url, "Ben");
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await store?.remove();
});

async function bothSee(who, text) {
  await say(who, text);
  said.push(text);
  await Promise.all([sees(ann, text), sees(ben, text)]);
}

async function nothingLostOrDoubled() {
  for (const who of [ann, ben]) assert.deepEqual(await messagesOf(who), said, `what ${who.name} sees`);
}

async function useSocket({ page }, on) {
  await page.getByRole("switch", { name: "Use the WebSocket" }).setChecked(on, { force: true });
}

test("two people talk in the lobby over the socket", async () => {
  await Promise.all([transportIs(ann, "live"), transportIs(ben, "live")]);
  await bothSee(ann, "Hello, is anybody here?");
  await bothSee(ben, "I am. Good morning!");
  await bothSee(ann, "Two lines,\nand <b>no markup</b> & no script.");
  await nothingLostOrDoubled();
});

test("one who is cut off goes on by polling, and is handed back", async () => {
  await useSocket(ben, false);
  await transportIs(ben, "polling");
  await bothSee(ann, "Can you still hear me?");
  await bothSee(ben, "Yes, by polling.");
  await bothSee(ann, "Wonderful.");
  const polls = ben.page.locator("#stat-polls");
  await polls.filter({ hasText: /only meta/ }).waitFor();
  const held = /\/api\/chat\/meta\?wait=25$/;
  if (!ben.urls.some((url) => held.test(url))) await ben.page.waitForRequest(held);
  await bothSee(ann, "The service holds your polls now.");
  await useSocket(ben, true);
  await transportIs(ben, "live");
  await bothSee(ben, "And I am back.");
  await nothingLostOrDoubled();
});

test("what was written is edited, reacted to and deleted for both", async () => {
  const row = ({ page }, text) => page.locator(".message", { hasText: text });
  await row(ann, "Good morning").hover();
  await row(ann, "Good morning").getByRole("button", { name: /^Actions/ }).click();
  await ann.page.getByRole("menuitemcheckbox", { name: "React with 🎉" }).click();
  await row(ben, "Good morning").getByRole("button", { name: /🎉, 1 person/ }).waitFor();
  await row(ben, "Good morning").getByRole("button", { name: /🎉/ }).press("Enter");
  await row(ben, "Good morning").getByRole("button", { name: /🎉, 2 people, you too/ }).waitFor();
  const focused = await ben.page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  assert.equal(focused, "🎉, 2 people, you too", "the keyboard stays where it was");

  await ben.page.getByRole("textbox", { name: "Write a message" }).press("ArrowUp");
  await say(ben, "And I am back, edited.");
  await row(ann, "And I am back, edited.").getByText("edited", { exact: true }).waitFor();
  said[said.length - 1] = "And I am back, edited.";

  await bothSee(ann, "Not this.");
  await row(ann, "Not this.").hover();
  await row(ann, "Not this.").getByRole("button", { name: /^Actions/ }).click();
  await ann.page.getByRole("menuitem", { name: "Delete" }).click();
  for (const who of [ann, ben]) await row(who, "This message was deleted").waitFor();
  await row(ben, "Not this.").waitFor({ state: "detached" });
});

test("the service stops and starts: everything is there and both come back live", async () => {
  const { url, port } = service;
  const before = await messagesOf(ann);
  await service.stop();
  await Promise.all([transportIs(ann, "offline"), transportIs(ben, "offline")]);
  await say(ann, "Written while nobody listened");
  await ann.page.locator(".message.pending", { hasText: "Written while nobody listened" }).waitFor();
  service = await startService(store.database, port);
  assert.equal(service.url, url);
  await Promise.all([transportIs(ann, "live"), transportIs(ben, "live")]);
  const failed = ann.page.getByRole("button", { name: "Try again" });
  if (await failed.isVisible()) await failed.click();
  for (const who of [ann, ben]) await sees(who, "Written while nobody listened");
  await say(ben, "Welcome back");
  for (const who of [ann, ben]) await sees(who, "Welcome back");
  for (const who of [ann, ben]) {
    const now = (await messagesOf(who)).map((text) => text.replace(/edited$/, ""));
    assert.deepEqual(now, [...before.map((text) => text.replace(/edited$/, "")), "Written while nobody listened", "Welcome back"]);
  }
  await ann.page.reload();
  await sees(ann, "Welcome back");
  assert.equal((await messagesOf(ann)).length, before.length + 2);
});

test("a room is made, found and joined; its news are counted; a direct chat is started", async () => {
  await ann.page.getByRole("button", { name: "Create a room" }).click();
  await ann.page.getByLabel("Title").fill("Garden");
  await ann.page.getByRole("button", { name: "Create room" }).click();
  await ann.page.getByRole("heading", { name: "Garden", level: 1 }).waitFor();
  await say(ann, "First of the garden");
  await sees(ann, "First of the garden");
  await ben.page.getByRole("button", { name: "Find public rooms" }).click();
  await ben.page.getByRole("dialog").getByRole("listitem").filter({ hasText: "Garden" }).getByRole("button", { name: "Join" }).click();
  await sees(ben, "First of the garden");
  const rooms = ({ page }) => page.getByRole("navigation", { name: "Rooms" });
  await rooms(ben).getByRole("button", { name: "Lobby" }).click();
  await say(ann, "Did the beans come up?");
  await rooms(ben).getByRole("button", { name: /Garden.*1 unread/ }).waitFor();
  await ben.page.getByRole("button", { name: "Who is here" }).click();
  await ben.page.getByRole("dialog").getByRole("listitem").filter({ hasText: "Ann" }).getByRole("button", { name: "Write" }).click();
  await ben.page.getByRole("heading", { name: "Ann", level: 1 }).waitFor();
  await say(ben, "Just the two of us");
  await rooms(ann).getByRole("button", { name: /Ben.*unread/ }).click();
  await sees(ann, "Just the two of us");
});

test("the page works at phone width", async () => {
  const cleo = await person(browser, service.url, "Cleo", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await transportIs(cleo, "live");
  await say(cleo, "From my phone");
  await sees(cleo, "From my phone");
  const wide = await cleo.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, "nothing sticks out sideways");
  const room = cleo.page.getByRole("navigation", { name: "Rooms" }).getByRole("button", { name: "Lobby" });
  assert.equal(await room.isVisible(), false, "the list is a drawer");
  await cleo.page.getByRole("button", { name: "Rooms and connection" }).click();
  await room.click();
  await room.waitFor({ state: "hidden" });
  assert.deepEqual(cleo.complaints, []);
});

test("no policy was broken, no error logged, no token in an address", async () => {
  // A service that is stopped is refused connections, and the browser logs each; nothing else may be there.
  const expected = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to .* failed/;
  for (const { name, complaints, urls, page } of [ann, ben]) {
    assert.deepEqual(complaints.filter((text) => !expected.test(text)), [], `what ${name}'s page complained of`);
    const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem("tidings.session")).token);
    assert.ok(token.length > 20);
    for (const address of [...urls, page.url()]) {
      assert.ok(!address.includes(token) && !/bearer|eyJ|token=/i.test(address), address);
    }
  }
});
