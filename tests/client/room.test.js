/** A room is a log: what moves its cursor, what does not, and what a hole does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, message, polledRoom, problem, seqs, settle, subscribe, texts, WELCOME, world } from "./support.js";

const live = (sent) => ({ type: "message", roomId: "r", message: sent });
/** Requests to sync that the room made by itself. */
const syncs = (service) => service.matching("GET", /since=/).length;

test("live messages move the cursor one by one", async () => {
  const { room, socket, service } = await liveRoom(3);
  assert.equal(room.getSnapshot().rev, 3);
  await socket().receive(live(service.write()), live(service.write()));
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(room.getSnapshot().rev, 5);
  assert.equal(room.getSnapshot().complete, true);
  assert.equal(syncs(service), 0);
});

test("a message that comes twice is there once", async () => {
  const { room, socket, service } = await liveRoom(3);
  const frame = live(service.write());
  await socket().receive(frame, frame);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  assert.equal(room.getSnapshot().rev, 4);
});

test("an older state never replaces a newer one", async () => {
  const { room, socket, service } = await liveRoom(3);
  const old = service.room().messages[1];
  await socket().receive(live(service.edit(2, "new")));
  await socket().receive({ type: "messages", roomId: "r", messages: [old], rev: 3 });
  assert.deepEqual(texts(room), ["text 1", "new", "text 3"]);
  assert.equal(room.getSnapshot().rev, 4, "and a cursor never goes back");
});

test("a hole is fetched from the cursor, and nothing is complete before", async () => {
  const { room, socket, service } = await liveRoom(3);
  service.write();
  service.hold();
  await socket().receive(live(service.write()));
  assert.equal(room.getSnapshot().rev, 3, "the cursor stays before the hole");
  assert.equal(room.getSnapshot().complete, false);
  await service.release();
  assert.equal(service.matching("GET", /since=3&/).length, 1);
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(room.getSnapshot().complete, true);
});

test("what comes live while a hole is fetched is kept, and fetched once", async () => {
  const { room, socket, service } = await liveRoom(3);
  service.write();
  service.hold();
  await socket().receive(live(service.write()), live(service.write()));
  await service.release();
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5, 6]);
  assert.equal(syncs(service), 1);
});

test("a page behind a hole does not hide it", async () => {
  const { room, socket, service } = await liveRoom(3);
  service.write();
  service.hold();
  await socket().receive(live(service.write()));
  service.write();
  await socket().receive({ type: "messages", roomId: "r", messages: [service.room().messages[5]], rev: 6 });
  assert.equal(room.getSnapshot().rev, 3);
  await service.release();
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5, 6]);
});

test("an ok never moves the cursor", async () => {
  const { room, socket, service } = await liveRoom(3);
  void room.send("mine");
  await settle();
  service.write();
  const { id, message: sent } = socket().last("send");
  const mine = service.write(1, "r", { id: sent.id, content: "mine", senderId: "me" });
  await socket().receive({ type: "ok", id, message: mine });
  assert.equal(room.getSnapshot().rev, 3);
  assert.deepEqual(seqs(room), [1, 2, 3, 5], "it is shown");
  await socket().receive(live(service.room().messages[3]), live(mine));
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(room.getSnapshot().rev, 5);
  assert.equal(syncs(service), 0);
});

test("meta never moves the cursor; a live room left behind by its frames fetches", async () => {
  const { room, clock, socket, service } = await liveRoom(3);
  service.write();
  await socket().receive({ type: "meta", rooms: [{ roomId: "r", rev: 4, lastSeq: 4, lastMessageAt: null }], gone: [] });
  assert.equal(room.getSnapshot().rev, 3);
  assert.equal(room.getSnapshot().complete, false);
  assert.equal(room.getSnapshot().lastSeq, 4);
  assert.equal(syncs(service), 0, "the frame may be on its way");
  await clock.advance(3000);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("a page of the past never moves the cursor", async () => {
  const { room, service } = await polledRoom(120);
  assert.equal(seqs(room)[0], 71);
  assert.equal(room.getSnapshot().hasMore, true);
  service.write();
  await room.loadEarlier();
  assert.equal(seqs(room)[0], 21);
  assert.equal(room.getSnapshot().rev, 120);
  await room.loadEarlier();
  assert.equal(seqs(room)[0], 1);
  assert.equal(room.getSnapshot().hasMore, false);
  const asked = service.pages.length;
  await room.loadEarlier();
  assert.equal(service.pages.length, asked, "there is nothing more to ask for");
});

test("an edit of a message not held yet is not lost to an older page of the past", async () => {
  const { room, clock, service } = await polledRoom(60);
  service.hold();
  const loading = room.loadEarlier();
  await settle();
  const stale = service.room().messages.slice(0, 10);
  await service.release();
  await loading;
  assert.deepEqual(seqs(room).length, 60);
  const again = await polledRoom(60);
  again.service.edit(5, "new");
  await again.clock.advance(2500);
  assert.equal(seqs(again.room).length, 50, "it is below what is shown");
  again.service.before = ({ path }) => (path.includes("before=") ? { body: { messages: stale, hasMore: false, rev: 60, history: "h1" } } : undefined);
  await again.room.loadEarlier();
  assert.equal(texts(again.room)[4], "new");
  await clock.advance(0);
});

test("reset drops what is held and begins with the newest page", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service } = made;
  await socket().drop();
  service.history = "h2";
  service.rooms.clear();
  service.write(2, "r", { content: "restored" });
  service.down = true;
  await clock.advance(500);
  await socket().receive(WELCOME);
  await subscribe(made, "r", { status: "reset" });
  assert.deepEqual(texts(room), ["restored", "restored"]);
  assert.equal(room.getSnapshot().rev, 2);
  assert.equal(room.getSnapshot().complete, true);
});

test("an answer asked for before a reset is worth nothing after it", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service } = made;
  service.write();
  service.hold();
  await socket().receive(live(service.write(1, "r", { content: "of the old history" })));
  await socket().drop();
  await clock.advance(500);
  service.history = "h2";
  service.rooms.clear();
  service.write(2, "r", { content: "restored" });
  await socket().receive(WELCOME);
  await subscribe(made, "r", { status: "reset" });
  await service.release();
  await clock.advance(5000);
  assert.deepEqual(texts(room), ["restored", "restored"]);
  assert.equal(room.getSnapshot().rev, 2);
});

test("a subscription from before a reset is answered to nobody", async () => {
  const { room, clock, socket, service } = await liveRoom(3);
  service.before = ({ path }) => {
    if (!path.includes("since=")) return undefined;
    service.hold();
    return problem(409, "history_changed");
  };
  service.write();
  await socket().drop();
  await clock.advance(500);
  await socket().receive(WELCOME);
  const first = socket().last("subscribe");
  assert.equal(first.since, 3);
  await service.release();
  const second = socket().last("subscribe");
  assert.equal(second.since, undefined, "the 409 began it anew");
  await socket().receive({ type: "subscribed", id: first.id, roomId: "r", rev: 9, lastSeq: 9, history: "h1", status: "recovered" });
  await socket().receive({ type: "messages", roomId: "r", messages: [message(9)], rev: 9 });
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  await subscribe({ socket, service });
  await socket().receive(live(service.write()));
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(room.getSnapshot().complete, true);
});

test("another history while polling drops what is held", async () => {
  const { room, clock, service } = await polledRoom(3);
  service.history = "h2";
  service.rooms.clear();
  service.write(1, "r", { content: "restored" });
  await clock.advance(2500);
  assert.deepEqual(texts(room), ["restored"]);
});

for (const [status, code] of [[409, "history_changed"], [410, "position_expired"]]) {
  test(`${status} ${code} drops what is held and takes the newest page`, async () => {
    const { room, clock, service } = await polledRoom(3);
    service.write();
    service.before = ({ path }) => (path.includes("since=") ? problem(status, code) : undefined);
    await clock.advance(2500);
    assert.match(service.pages.at(-1).path, /messages\?limit=50$/);
    assert.deepEqual(seqs(room), [1, 2, 3, 4]);
    assert.equal(room.getSnapshot().rev, 4);
  });
}

test("frames of a subscription not confirmed yet count for nothing", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service } = made;
  await socket().drop();
  await clock.advance(500);
  await socket().receive(WELCOME);
  await socket().receive(live(message(9, { rev: 9 })));
  assert.deepEqual(seqs(room), [1, 2, 3]);
  await subscribe(made);
  await socket().receive(live(service.write()));
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("an empty room is complete", async () => {
  const { room } = await liveRoom(0);
  assert.equal(room.getSnapshot().complete, true);
  assert.deepEqual(seqs(room), []);
});

test("a subscription refused for the moment is tried again, one refused for good is gone", async () => {
  const made = await liveRoom(3);
  const { chat, clock, socket, service } = made;
  service.write(1, "s");
  const other = chat.room("s");
  const first = socket().last("subscribe");
  await socket().receive({ type: "error", id: first.id, code: "rate_limited", detail: "", retryAfterMs: 700 });
  await clock.advance(700);
  assert.notEqual(socket().last("subscribe"), first);
  await socket().receive({ type: "error", id: socket().last("subscribe").id, code: "room_not_found", detail: "" });
  assert.equal(other.getSnapshot().gone, true);
});

test("who is removed is told, and hears no more", async () => {
  const { room, socket } = await liveRoom(3);
  await socket().receive({ type: "removed", roomId: "r", rev: 4 });
  await socket().receive(live(message(4)));
  assert.equal(room.getSnapshot().gone, true);
  assert.deepEqual(seqs(room), [1, 2, 3]);
});

test("edits, deletions and reactions go over the socket, and by HTTP without it", async () => {
  const { room, socket, service } = await liveRoom(3);
  const done = room.react("r-m2", "👍", true);
  await settle();
  assert.deepEqual({ ...socket().last("react"), id: 0 }, { type: "react", id: 0, roomId: "r", messageId: "r-m2", emoji: "👍", on: true });
  const reacted = { ...service.room().messages[1], rev: 4, reactions: [{ emoji: "👍", count: 1, userIds: ["me"] }] };
  await socket().receive({ type: "ok", id: socket().last("react").id, message: reacted });
  await done;
  assert.equal(room.getSnapshot().messages[1].reactions.length, 1);
  service.before = ({ path, method }) =>
    /messages\/r-m/.test(path) ? { body: { message: { ...message(2), id: "r-m2", rev: 5, content: method } } } : undefined;
  await socket().drop();
  await room.edit("r-m2", "new");
  assert.equal(service.requests.at(-1).method, "PATCH");
  assert.deepEqual(service.requests.at(-1).body, { content: "new" });
  await room.react("r-m2", "👍", false);
  assert.equal(service.requests.at(-1).path, `/api/chat/rooms/r/messages/r-m2/reactions/${encodeURIComponent("👍")}`);
  assert.equal(service.requests.at(-1).method, "DELETE");
  await room.delete("r-m2");
  assert.equal(service.requests.at(-1).method, "DELETE");
});

test("a change whose outcome the drop hid is made again by HTTP", async () => {
  const { room, socket, service } = await liveRoom(3);
  service.before = ({ method }) => (method === "PATCH" ? { body: { message: { ...message(2), id: "r-m2", rev: 4, content: "new" } } } : undefined);
  const done = room.edit("r-m2", "new");
  await settle();
  await socket().drop();
  await done;
  assert.equal(texts(room)[1], "new");
});

test("the read position only goes forward, and unread is a subtraction", async () => {
  const { room, socket, service } = await liveRoom(5);
  await socket().receive({ type: "meta", rooms: [{ roomId: "r", rev: 5, lastSeq: 5, lastReadSeq: 2, lastMessageAt: null }], gone: [] });
  assert.equal(room.getSnapshot().unreadCount, 3);
  void room.markRead();
  await settle();
  assert.equal(socket().last("read").seq, 5);
  assert.equal(room.getSnapshot().unreadCount, 0);
  const reads = socket().all("read").length;
  await room.markRead(3);
  assert.equal(socket().all("read").length, reads);
  await socket().receive({ type: "read", roomId: "r", userId: "me", seq: 1 });
  assert.equal(room.getSnapshot().lastReadSeq, 5);
  await socket().receive(live(service.write()));
  assert.equal(room.getSnapshot().unreadCount, 1);
});

test("a read position that was refused is not shown", async () => {
  const { room, socket } = await liveRoom(5);
  await socket().receive({ type: "meta", rooms: [{ roomId: "r", rev: 5, lastSeq: 5, lastReadSeq: 2, lastMessageAt: null }], gone: [] });
  const refused = assert.rejects(room.markRead(), { code: "internal" });
  await socket().receive({ type: "error", id: socket().last("read").id, code: "internal", detail: "" });
  await refused;
  assert.equal(room.getSnapshot().unreadCount, 3);
});

test("after a refusal the read position rests for as long as it was told, and is then asked for again", async () => {
  const { room, clock, socket } = await liveRoom(5);
  await socket().receive({ type: "meta", rooms: [{ roomId: "r", rev: 5, lastSeq: 5, lastReadSeq: 2, lastMessageAt: null }], gone: [] });
  // As a page does it: whatever changes, what is unread is read.
  room.subscribe(() => room.getSnapshot().unreadCount > 0 && room.markRead().catch(() => {}));
  void room.markRead().catch(() => {});
  for (let turn = 1; turn <= 3; turn++) {
    assert.equal(socket().all("read").length, turn);
    await socket().receive({ type: "error", id: socket().last("read").id, code: "rate_limited", detail: "", retryAfterMs: 500 });
    await clock.advance(499);
    assert.equal(socket().all("read").length, turn, "it rests");
    await clock.advance(1);
  }
  await socket().receive({ type: "ok", id: socket().last("read").id, lastReadSeq: 5, unreadCount: 0 });
  assert.deepEqual([socket().all("read").length, room.getSnapshot().unreadCount], [4, 0]);
});

test("typing is told at most every three seconds, shown until it ends, and never one's own", async () => {
  const { room, clock, socket, service } = await liveRoom(3);
  room.sendTyping();
  room.sendTyping();
  assert.equal(socket().all("typing").length, 1);
  await clock.advance(3000);
  room.sendTyping();
  assert.equal(socket().all("typing").length, 2);
  await socket().receive({ type: "typing", roomId: "r", userId: "you", ttlMs: 6000 }, { type: "typing", roomId: "r", userId: "me", ttlMs: 6000 });
  assert.deepEqual(room.getSnapshot().typing, ["you"]);
  await clock.advance(6000);
  assert.deepEqual(room.getSnapshot().typing, []);
  await socket().receive({ type: "typing", roomId: "r", userId: "you", ttlMs: 6000 });
  await socket().receive(live(service.write()));
  assert.deepEqual(room.getSnapshot().typing, [], "who wrote types no more");
});

test("who is online is asked once and then heard", async () => {
  const { room, socket } = await liveRoom(3);
  assert.deepEqual(room.getSnapshot().online, ["you"]);
  await socket().receive({ type: "presence", roomId: "r", userId: "them", online: true }, { type: "presence", roomId: "r", userId: "you", online: false });
  assert.deepEqual(room.getSnapshot().online, ["them"]);
});

test("who comes while it is asked who is online is not lost to the older answer", async () => {
  const made = world();
  const { chat, socket, service } = made;
  service.write();
  const room = chat.room("r");
  await settle();
  await socket().receive(WELCOME);
  assert.equal(service.matching("GET", /presence/).length, 0, "it is asked behind the subscription");
  service.hold();
  await subscribe(made);
  await socket().receive({ type: "presence", roomId: "r", userId: "them", online: true }, { type: "presence", roomId: "r", userId: "you", online: false });
  await service.release();
  assert.deepEqual(room.getSnapshot().online, ["them"]);
});

test("a snapshot is the same object until something changed", async () => {
  const { room, chat, socket, service } = await liveRoom(3);
  const before = room.getSnapshot();
  assert.equal(room.getSnapshot(), before);
  let told = 0;
  const stop = room.subscribe(() => (told += 1));
  await socket().receive(live(service.write()));
  assert.notEqual(room.getSnapshot(), before);
  assert.deepEqual(before.messages.map(({ seq }) => seq), [1, 2, 3], "an old snapshot stays as it was");
  assert.ok(told > 0);
  stop();
  const was = told;
  await socket().receive(live(service.write()));
  assert.equal(told, was);
  assert.equal(chat.connection.getSnapshot(), chat.connection.getSnapshot());
});

test("a closed room is unsubscribed and asked for no more", async () => {
  const { room, chat, socket } = await liveRoom(3);
  room.close();
  assert.equal(socket().last("unsubscribe").roomId, "r");
  assert.notEqual(chat.room("r"), room);
});
