/** What the service keeps no longer is let go of here as well, and what is left has no hole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, polledRoom, problem, seqs, settle, subscribe, WELCOME } from "./support.js";

const live = (sent) => ({ type: "message", roomId: "r", message: sent });

test("a live room lets go of what is not kept, and pages back no further", async () => {
  const { room, socket, service } = await liveRoom(5);
  await socket().receive(service.trim(4));
  const { rev, complete, hasMore } = room.getSnapshot();
  assert.deepEqual([seqs(room), rev, complete, hasMore], [[4, 5], 6, true, false]);
  const pages = service.pages.length;
  await room.loadEarlier();
  assert.equal(service.pages.length, pages, "there is nothing to ask for");
  await socket().receive(live(service.write()));
  assert.deepEqual([seqs(room), room.getSnapshot().complete], [[4, 5, 6], true]);
});

test("a room that holds less than is kept has earlier messages still", async () => {
  const { room, socket, service } = await liveRoom(60);
  assert.deepEqual([seqs(room)[0], room.getSnapshot().hasMore], [11, true]);
  await socket().receive(service.trim(6));
  assert.deepEqual([seqs(room)[0], room.getSnapshot().hasMore], [11, true]);
  await room.loadEarlier();
  assert.deepEqual([seqs(room)[0], seqs(room).length, room.getSnapshot().hasMore], [6, 55, false]);
});

test("an empty room is one whose messages are all gone", async () => {
  const { room, socket, service } = await liveRoom(3);
  await socket().receive(service.trim(4));
  const { messages, lastSeq, complete, hasMore } = room.getSnapshot();
  assert.deepEqual([messages, lastSeq, complete, hasMore], [[], 3, true, false]);
  await socket().receive(live(service.write()));
  assert.deepEqual([seqs(room), room.getSnapshot().complete], [[4], true]);
});

test("a polled room lets go as soon as meta tells, and what is gone is not unread", async () => {
  const { chat, room, clock, service } = await polledRoom(5);
  assert.equal(room.getSnapshot().unreadCount, 5);
  await chat.rooms.load();
  service.trim(4);
  await clock.advance(2500);
  const { rev, complete, hasMore, unreadCount } = room.getSnapshot();
  assert.deepEqual([seqs(room), rev, complete, hasMore, unreadCount], [[4, 5], 6, true, false, 2]);
  assert.equal(chat.rooms.getSnapshot().unreadCount, 2);
});

test("a page that comes late brings nothing back", async () => {
  const { room, socket, service } = await liveRoom(80);
  service.hold();
  const loading = room.loadEarlier();
  await settle();
  await socket().receive(service.trim(20));
  await service.release();
  await loading;
  assert.deepEqual([seqs(room)[0], room.getSnapshot().hasMore], [20, false]);
});

test("one who was away for longer begins anew, without a hole, and what is to be sent stays", async () => {
  const { room, clock, socket, service } = await liveRoom(5);
  await socket().drop();
  service.before = ({ method }) => (method === "POST" ? problem(503, "unavailable") : undefined);
  void room.send("still to be sent");
  service.write(60);
  service.trim(50);
  await clock.advance(500);
  await socket().receive(WELCOME);
  assert.equal(socket().last("subscribe").since, 5);
  await subscribe({ socket, service }, "r", { status: "reset" });
  const { complete, hasMore, pending } = room.getSnapshot();
  assert.deepEqual(seqs(room), Array.from({ length: 16 }, (_, at) => 50 + at));
  assert.deepEqual([complete, hasMore, pending.map(({ content }) => content)], [true, false, ["still to be sent"]]);
});

test("410 by polls begins with the newest page, which ends where the log begins", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.write(5);
  service.trim(7);
  await clock.advance(2500);
  assert.match(service.pages.at(-2).path, /since=3&/);
  assert.match(service.pages.at(-1).path, /messages\?limit=50$/);
  assert.deepEqual([seqs(room), room.getSnapshot().rev, room.getSnapshot().hasMore], [[7, 8], 9, false]);
});
