/**
 * Makes docs/chat.png, the picture in the README: the real page, the real service, three people talking.
 * Run it with `node picture.mjs [file]` after `npm ci`; a second argument `dark` or `phone` changes the view.
 */
import path from "node:path";
import { person, root, say, scratch, sees, startBrowser, startService, transportIs } from "./support.mjs";

const file = path.resolve(process.argv[2] ?? path.join(root, "docs/chat.png"));
const view = process.argv[3] ?? "light";

const store = await scratch();
const service = await startService(store.database);
const browser = await startBrowser();

async function react({ page }, text, emoji) {
  const row = page.locator(".message", { hasText: text });
  await row.hover();
  await row.getByRole("button", { name: /^Actions/ }).click();
  await page.getByRole("menuitemcheckbox", { name: `React with ${emoji}` }).click();
  await row.locator(".reaction", { hasText: emoji }).waitFor();
}

async function create({ page }, title) {
  await page.getByRole("button", { name: "Create a room" }).click();
  await page.getByLabel("Title").fill(title);
  await page.getByRole("button", { name: "Create room" }).click();
  await page.getByRole("heading", { name: title, level: 1 }).waitFor();
}

async function cutSocket(who) {
  await who.page.getByRole("switch").setChecked(false, { force: true });
  await transportIs(who, "polling");
}

async function direct({ page }, name) {
  await page.getByRole("button", { name: "Who is here" }).click();
  await page.getByRole("dialog").getByRole("listitem").filter({ hasText: name }).getByRole("button", { name: "Write" }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

async function enter({ page }, title) {
  await page.getByRole("navigation", { name: "Rooms" }).getByRole("button", { name: title }).click();
  await page.getByRole("heading", { name: title, level: 1 }).waitFor();
}

try {
  // It is always morning in the picture, and no day ends while it is made.
  const hours = (new Date().getUTCHours() - 9 + 24) % 24;
  const timezoneId = hours > 12 ? `Etc/GMT-${24 - hours}` : `Etc/GMT+${hours}`;
  const settings =
    view === "phone"
      ? { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }
      : { viewport: { width: 1280, height: 794 } };
  const mira = await person(browser, service.url, "Mira Lindqvist", { ...settings, timezoneId, colorScheme: view === "dark" ? "dark" : "light" });
  const jonas = await person(browser, service.url, "Jonas Weber");
  const amara = await person(browser, service.url, "Amara Osei");
  for (const who of [mira, jonas, amara]) await transportIs(who, "live");

  const talk = [
    [jonas, "Morning! The timetable is up: from April the first ferry is at 6:40."],
    [amara, "Oh good, so the market is back within reach 🎉"],
    [amara, "I can bring the folding tables if someone has room in a car."],
    [mira, "I have the van on Saturday. Pick you up at six?"],
    [amara, "Perfect. Coffee is on me."],
    [jonas, "Then I take the posters: https://example.org/market/posters"],
    [mira, "Lovely. Two on each side of the harbour, and one for the bakery."],
    [jonas, "Will do. I am on the train and polling, and nothing is missing 🙂"],
  ];
  for (const [who, text] of talk) {
    // What is said in the picture is so.
    if (text.includes("polling")) await cutSocket(jonas);
    await say(who, text);
    for (const reader of [mira, jonas, amara]) await sees(reader, text);
  }
  await react(jonas, "I have the van", "🙏");
  await react(amara, "I have the van", "🙏");
  await react(jonas, "I have the van", "❤️");
  await react(mira, "I have the van", "❤️");
  await mira.page.locator(".message", { hasText: "I have the van" }).locator(".reaction", { hasText: "2" }).nth(1).waitFor();

  if (view !== "phone") {
    await create(mira, "Choir");
    await say(mira, "The hall is ours until nine");
    await sees(mira, "The hall is ours");
    await direct(amara, "Mira Lindqvist");
    await say(amara, "Oat milk or the other kind?");
    await enter(mira, "Amara Osei");
    await sees(mira, "Oat milk");
    await say(mira, "Oat, and thank you!");
    await sees(mira, "Oat, and thank you");
    await enter(amara, "Lobby");
    await create(jonas, "Harbour market");
    await say(jonas, "Stall 14 is ours again, next to the smokehouse.");
    await mira.page.getByRole("button", { name: "Find public rooms" }).click();
    await mira.page.getByRole("listitem").filter({ hasText: "Harbour market" }).getByRole("button", { name: "Join" }).click();
    await sees(mira, "Stall 14 is ours");
    await enter(mira, "Lobby");
    await say(jonas, "How many chairs do we need?");
    await mira.page.locator(".room-row .badge").first().waitFor();
    await enter(jonas, "Lobby");
  }
  await mira.page.bringToFront();
  await amara.page.getByRole("textbox", { name: "Write a message" }).pressSequentially("And");
  await mira.page.getByText("Amara Osei is typing").waitFor();
  await mira.page.mouse.move(640, 4);
  await mira.page.screenshot({ path: file });
  console.log(`wrote ${file}`);
} finally {
  await browser.close();
  await service.stop();
  await store.remove();
}
