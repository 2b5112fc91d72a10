/** Poll mode: meta first, one at a time, and messages only for rooms that moved. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { polledRoom, problem, seqs, settle, texts, world } from "./support.js";

test("one meta request covers every open room", async () => {
  const { chat, clock, service } = await polledRoom();
  service.write(1, "s");
  chat.room("s");
  await clock.advance(2500);
  assert.equal(service.metas.at(-1).url.searchParams.get("rooms"), "r,s");
});

test("2.5 s in front, 15 s hidden, timed from the end of the last poll", async () => {
  const { clock, service, visibility } = await polledRoom();
  const before = service.metas.length;
  await clock.advance(2499);
  assert.equal(service.metas.length, before);
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1);
  service.hold();
  await clock.advance(2500);
  await clock.advance(4000);
  visibility.isHidden = true;
  await service.release();
  const ended = service.metas.length;
  await clock.advance(14_999);
  assert.equal(service.metas.length, ended);
  await clock.advance(1);
  assert.equal(service.metas.length, ended + 1);
});

test("a page that comes to the front polls at once", async () => {
  const { service, visibility, clock } = await polledRoom();
  visibility.isHidden = true;
  await clock.advance(2500);
  const before = service.metas.length;
  await visibility.show();
  assert.equal(service.metas.length, before + 1);
});

test("never two polls in flight, whatever hurries them", async () => {
  const { chat, clock, service, visibility } = await polledRoom();
  service.hold();
  await clock.advance(2500);
  const before = service.metas.length;
  await visibility.show();
  await visibility.show();
  chat.room("s");
  await settle();
  assert.equal(service.metas.length, before, "the one in flight is waited for");
  await service.release();
  assert.equal(service.metas.length, before + 1, "then one more, at once");
  assert.equal(service.mostMetaInFlight, 1);
});

test("an unchanged poll sends the ETag, is a 304, and carries meta only", async () => {
  const { clock, service, stats } = await polledRoom();
  const { polls, pollsMetaOnly } = stats();
  const pages = service.pages.length;
  const etag = service.metas.at(-1).headers["if-none-match"];
  await clock.advance(5000);
  assert.notEqual(service.metas.at(-1).headers["if-none-match"], undefined);
  assert.notEqual(service.metas.at(-1).headers["if-none-match"], etag, "the first poll had none to send");
  assert.equal(stats().polls, polls + 2);
  assert.equal(stats().pollsMetaOnly, pollsMetaOnly + 2);
  assert.equal(service.pages.length, pages);
});

test("another set of rooms is asked for without the old ETag", async () => {
  const { chat, service } = await polledRoom();
  service.write(1, "s");
  chat.room("s");
  await settle();
  assert.equal(service.metas.at(-1).headers["if-none-match"], undefined);
});

test("messages are fetched only of the room that moved, from its cursor", async () => {
  const { chat, room, clock, service, stats } = await polledRoom(3);
  service.write(1, "s");
  const other = chat.room("s");
  await clock.advance(2500);
  const pages = service.pages.length;
  const { pollsMetaOnly } = stats();
  service.write(2);
  await clock.advance(2500);
  assert.deepEqual(service.pages.slice(pages).map(({ path }) => path), ["/api/chat/rooms/r/messages?since=3&history=h1&limit=100"]);
  assert.equal(stats().pollsMetaOnly, pollsMetaOnly);
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.deepEqual(seqs(other), [1]);
});

test("an edit comes through a poll too", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.edit(2, "better");
  await clock.advance(2500);
  assert.deepEqual(texts(room), ["text 1", "better", "text 3"]);
});

test("a long absence is caught up with page by page", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.write(250);
  await clock.advance(2500);
  assert.equal(seqs(room).length, 253);
  assert.equal(room.getSnapshot().complete, true);
  assert.equal(service.pages.length, 1 + 3);
});

test("what a poll led to and could not fetch is fetched after the next 304", async () => {
  const { room, clock, service, status } = await polledRoom(3);
  service.write();
  service.before = ({ path }) => (path.includes("since=") ? problem(503, "unavailable") : undefined);
  await clock.advance(2500);
  assert.equal(room.getSnapshot().complete, false);
  assert.equal(status(), "offline");
  service.before = null;
  await clock.advance(2500);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  assert.equal(status(), "polling");
});

test("Retry-After is waited for", async () => {
  const { clock, service, status } = await polledRoom();
  service.before = ({ path }) => (path.includes("/meta") ? problem(429, "rate_limited", { "retry-after": "9" }) : undefined);
  await clock.advance(2500);
  const before = service.metas.length;
  await clock.advance(8999);
  assert.equal(service.metas.length, before);
  assert.equal(status(), "polling", "to be slowed down is not to be cut off");
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1);
});

test("who comes back to the page does not cut a Retry-After short", async () => {
  const { chat, clock, service, visibility } = await polledRoom();
  service.before = ({ path }) => (path.includes("/meta") ? problem(503, "unavailable", { "retry-after": "9" }) : undefined);
  await clock.advance(2500);
  service.before = null;
  const before = service.metas.length;
  await visibility.show();
  chat.room("s");
  await clock.advance(8999);
  assert.equal(service.metas.length, before);
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1);
});

test("an instance behind the one whose meta led here is asked again", async () => {
  const { room, clock, service } = await polledRoom(3);
  let stale = 2;
  service.write();
  service.before = ({ path }) =>
    path.includes("since=") && (stale -= 1) >= 0 ? { body: { messages: [], hasMore: false, rev: 3, history: "h1" } } : undefined;
  await clock.advance(2500);
  assert.equal(room.getSnapshot().complete, false, "it is not taken for all there is");
  await clock.advance(1000);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("a captive portal's page is no answer", async () => {
  const portal = async () => ({ status: 200, headers: new Headers(), text: async () => "<html>" });
  const { status } = world({ socket: false, fetch: portal });
  await settle();
  assert.equal(status(), "offline");
});

test("a room lost while polling says so, the others go on", async () => {
  const { chat, room, clock, service } = await polledRoom();
  service.write(1, "s");
  const other = chat.room("s");
  await clock.advance(2500);
  service.rooms.delete("s");
  service.write();
  await clock.advance(2500);
  assert.equal(other.getSnapshot().gone, true);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("with the room list in use one poll covers all rooms and keeps its badges", async () => {
  const { chat, clock, service } = await polledRoom();
  service.write(2, "s");
  await chat.rooms.load();
  service.write(3, "s");
  await clock.advance(2500);
  assert.equal(service.metas.at(-1).path, "/api/chat/meta");
  const listed = chat.rooms.getSnapshot().rooms.find(({ id }) => id === "s");
  assert.equal(listed.unreadCount, 5);
});

/** Of whole seconds. */
const httpDate = (ms) => new Date(ms).toUTCString();

for (const [name, headers, waits] of [
  ["seconds", () => ({ "retry-after": "60" }), 60_000],
  ["a date", (now) => ({ "retry-after": httpDate(now + 60_500) }), 60_500],
  ["a date of a clock that is an hour ahead", (now) => ({ "retry-after": httpDate(now + 3_660_000), date: httpDate(now + 3_600_000) }), 60_000],
  // What follows names no time to wait, so the next poll comes as after any failure.
  ["a date that is over", (now) => ({ "retry-after": httpDate(now - 60_000) }), 2500],
  ["nothing to wait for", () => ({ "retry-after": "0" }), 2500],
  ["what is neither", () => ({ "retry-after": "3600.5" }), 2500],
]) {
  test(`Retry-After is honoured as ${name}`, async () => {
    const { clock, service } = await polledRoom();
    let told;
    service.before = ({ path }) => (path.includes("/meta") ? problem(503, "unavailable", (told ??= headers(clock.now()))) : undefined);
    await clock.advance(2500);
    const before = service.metas.length;
    await clock.advance(waits - 1);
    assert.equal(service.metas.length, before);
    await clock.advance(1);
    assert.equal(service.metas.length, before + 1);
  });
}

test("a send waits until the date that Retry-After names, and never hammers", async () => {
  const { room, clock, service } = await polledRoom(0);
  const posts = () => service.matching("POST", /messages/).length;
  const at = clock.now() + 90_000;
  service.before = ({ method }) => (method === "POST" ? problem(503, "unavailable", { "retry-after": httpDate(at) }) : undefined);
  void room.send("hello");
  await clock.advance(89_999);
  assert.equal(posts(), 1);
  // The date stays what it is, and is over.
  await clock.advance(60_000);
  assert.ok(posts() > 2 && posts() < 12, `${posts()}`);
});
