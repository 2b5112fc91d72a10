/** The room list: badges from meta, previews only while they are true. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, polledRoom, settle } from "./support.js";

const listed = (chat, id) => chat.rooms.getSnapshot().rooms.find((room) => room.id === id);
const meta = (rooms, gone = []) => ({ type: "meta", rooms, gone });

test("meta moves the badge, and only forward", async () => {
  const { chat, socket } = await liveRoom(3);
  await chat.rooms.load();
  await socket().receive(meta([{ roomId: "r", rev: 5, lastSeq: 5, lastMessageAt: null }]));
  assert.equal(listed(chat, "r").unreadCount, 5);
  await socket().receive(meta([{ roomId: "r", rev: 5, lastSeq: 5, lastReadSeq: 4, lastMessageAt: null }]));
  await socket().receive(meta([{ roomId: "r", rev: 4, lastSeq: 4, lastReadSeq: 2, lastMessageAt: null }]));
  assert.equal(listed(chat, "r").unreadCount, 1);
  assert.equal(chat.rooms.getSnapshot().unreadCount, 1);
});

test("meta heard while the list is loaded is not lost to the older answer", async () => {
  const { chat, socket, service } = await liveRoom(3);
  service.hold();
  const loading = chat.rooms.load();
  await settle();
  await socket().receive(meta([{ roomId: "r", rev: 9, lastSeq: 9, lastMessageAt: null }]));
  await service.release();
  await loading;
  assert.equal(listed(chat, "r").lastSeq, 9);
});

test("a room joined elsewhere appears, a room lost disappears", async () => {
  const { chat, socket, service } = await liveRoom(3);
  await chat.rooms.load();
  service.write(1, "s");
  service.before = ({ path }) => (path === "/api/chat/rooms/s" ? { body: { room: { id: "s", createdAt: "2027", lastSeq: 1, rev: 1, me: { role: "MEMBER", lastReadSeq: 0 }, unreadCount: 1 } } } : undefined);
  await socket().receive(meta([{ roomId: "s", rev: 1, lastSeq: 1, lastMessageAt: null }]));
  assert.equal(listed(chat, "s").unreadCount, 1);
  await socket().receive(meta([], ["s"]));
  assert.equal(listed(chat, "s"), undefined);
});

test("what an all-rooms poll does not name is gone", async () => {
  const { chat, clock, service } = await polledRoom();
  service.write(1, "s");
  await chat.rooms.load();
  assert.ok(listed(chat, "s"));
  service.rooms.delete("s");
  await clock.advance(2500);
  assert.equal(listed(chat, "s"), undefined);
});

test("a preview is shown while it is the newest message, and an open room brings its own", async () => {
  const { chat, socket, service } = await liveRoom(3);
  await chat.rooms.load();
  await socket().receive({ type: "message", roomId: "r", message: service.write(1, "r", { content: "newest" }) });
  assert.equal(listed(chat, "r").lastMessage.content, "newest");
  await socket().receive(meta([{ roomId: "r", rev: 5, lastSeq: 5, lastMessageAt: null }]));
  assert.equal(listed(chat, "r").lastMessage, null);
});

test("reading an open room takes its badge away", async () => {
  const { chat, room, socket } = await liveRoom(3);
  await chat.rooms.load();
  assert.equal(listed(chat, "r").unreadCount, 3);
  void room.markRead();
  await socket().receive({ type: "ok", id: socket().last("read").id, lastReadSeq: 3, unreadCount: 0 });
  assert.equal(listed(chat, "r").unreadCount, 0);
});
