/** The older application's hook: what its pages read and call is there, and means what it meant. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { React, compat, render, surroundings, tidings } from "./support.js";
import { WELCOME, message, settle, subscribe, world } from "../client/support.js";

const { StrictMode, createElement: h } = React;

/** A page of the older application: it shows nothing here, and hands out what the hook gave. */
function page(made) {
  const seen = {};
  const Page = (asked) => (Object.assign(seen, compat.useChatRest(asked)), null);
  const around = (asked) =>
    h(StrictMode, {}, h(tidings.ChatProvider, { chat: made.chat }, h(Page, { roomId: "r", pollInterval: 2500, ...asked })));
  return { seen, around };
}

async function live(made = world(), more = 3) {
  const { seen, around } = page(made);
  made.service.write(more);
  const shown = await render(around());
  await shown.act(() => made.socket().receive(WELCOME));
  await shown.act(() => subscribe(made));
  return { ...made, ...shown, seen, around };
}

test("messages have every field that the pages read", async () => {
  const made = world();
  made.service.write(1, "r", { senderId: "ann", senderName: "Ann", senderAvatarUrl: "a.png", moderation: "FLAGGED" });
  const { seen, unmount } = await live(made);
  const { id } = seen.messages[0];
  assert.deepEqual(seen.messages[0], {
    id,
    roomId: "r",
    senderId: "ann",
    senderName: "Ann",
    senderAvatarUrl: "a.png",
    sender: { id: "ann", name: "Ann", email: "", role: "", avatarUrl: "a.png" },
    content: "text 1",
    contentType: "TEXT",
    status: "SENT",
    moderationStatus: "FLAGGED",
    createdAt: "2027-01-15T08:00:01.000Z",
  });
  assert.equal(seen.messages.length, 4);
  assert.equal(seen.messages[1].moderationStatus, "APPROVED");
  assert.equal(seen.isConnected, true);
  await unmount();
});

test("a message that comes is shown, one that is deleted goes", async () => {
  const { seen, service, socket, act, unmount } = await live();
  service.write(1);
  await act(() => socket().receive({ type: "message", roomId: "r", message: service.room("r").messages.at(-1) }));
  assert.deepEqual(seen.messages.map(({ content }) => content), ["text 1", "text 2", "text 3", "text 4"]);
  const deleted = { ...service.room("r").messages[1], rev: 5, content: "", deletedAt: "2026-11-25T00:00:00Z" };
  await act(() => socket().receive({ type: "message", roomId: "r", message: deleted }));
  assert.deepEqual(seen.messages.map(({ content }) => content), ["text 1", "text 3", "text 4"]);
  await unmount();
});

test("a send resolves once it is stored, and rejects with the service's words", async () => {
  const { seen, socket, chat, act, unmount } = await live();
  let done = false;
  let failed = null;
  await act(() => void seen.sendMessage("  hello ").then(() => (done = true)));
  const [frame] = socket().all("send");
  assert.equal(frame.message.content, "hello");
  assert.equal(done, false, "nobody has acknowledged it");
  const stored = message(4, { id: frame.message.id, content: "hello" });
  await act(() => socket().receive({ type: "ok", id: frame.id, message: stored }));
  assert.equal(done, true);
  await act(() => void seen.sendMessage("rude").catch((error) => (failed = error)));
  const refused = socket().all("send").at(-1);
  await act(() => socket().receive({ type: "error", id: refused.id, code: "content_rejected", detail: "not here" }));
  assert.equal(failed.message, "not here");
  assert.deepEqual(chat.room("r").getSnapshot().pending, [], "nothing of it is left to be tried again");
  await assert.rejects(seen.sendMessage("   "), /nothing to send/);
  await unmount();
});

test("what others write is READ once it is marked, and one's own is not", async () => {
  const made = world();
  made.service.write(2, "r", { senderId: "ann" });
  made.service.write(1, "r", { senderId: "me" });
  const { seen, act, unmount } = await live(made);
  const [first, second] = seen.messages;
  await act(() => void seen.markAsRead([first.id, second.id, "unknown"]));
  await act(settle);
  const read = made.socket().all("read").at(-1);
  assert.equal(read.seq, 2);
  await act(() => made.socket().receive({ type: "ok", id: read.id, lastReadSeq: 2, unreadCount: 4 }));
  assert.deepEqual(seen.messages.slice(0, 3).map(({ status }) => status), ["READ", "READ", "SENT"]);
  await unmount();
});

test("who types and who is there are told", async () => {
  const { seen, socket, act, unmount } = await live();
  await act(() => socket().receive({ type: "typing", roomId: "r", userId: "ann", ttlMs: 6000 }));
  await act(() => socket().receive({ type: "presence", roomId: "r", userId: "ann", online: true }));
  assert.deepEqual([seen.typingUsers, seen.onlineMembers.includes("ann")], [["ann"], true]);
  await act(() => void seen.startTyping());
  assert.equal(socket().all("typing").length, 1);
  seen.stopTyping();
  await unmount();
});

test("loadMessages shows at least as many as asked for", async () => {
  const made = world();
  made.service.write(120);
  const { seen, act, unmount } = await live(made);
  const before = seen.messages.length;
  assert.ok(before < 100, `${before}`);
  await act(() => seen.loadMessages(100));
  assert.ok(seen.messages.length >= 100, `${seen.messages.length}`);
  assert.deepEqual(seen.messages.map(({ content }) => content), made.service.room("r").messages.slice(-seen.messages.length).map(({ content }) => content));
  await unmount();
});

test("what the pages do not wait for is reported, and rejects for nobody", async (t) => {
  const reported = t.mock.method(console, "error", () => {});
  const made = world();
  made.service.write(120);
  const { seen, act, unmount } = await live(made);
  const marked = mock.fn();
  await act(() => void seen.markAsRead([seen.messages[0].id]).then(marked));
  const { id } = made.socket().all("read").at(-1);
  await act(() => made.socket().receive({ type: "error", id, code: "rate_limited", detail: "slower" }));
  await act(settle);
  assert.equal(marked.mock.callCount(), 1);
  made.service.down = true;
  const held = seen.messages.length;
  await act(() => seen.loadMessages(100));
  assert.equal(seen.messages.length, held);
  assert.deepEqual(reported.mock.calls.map(({ arguments: [name] }) => name), ["tidings:", "tidings:"]);
  await unmount();
});

test("without a room, or switched off, nothing is opened and nothing shown", async () => {
  const made = await live();
  await made.show(made.around({ enabled: false }));
  assert.deepEqual(made.seen.messages, []);
  await made.show(made.around({ roomId: null }));
  assert.deepEqual(made.seen.messages, []);
  await assert.rejects(made.seen.sendMessage("hello"), /no room/);
  await made.unmount();
});

test("without a provider it makes a chat of its own, one for all, and closes it when the last one is gone", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, options } = surroundings();
  compat.configure(options);
  const Page = () => String(compat.useChatRest({ roomId: "r" }).isConnected);
  const shown = await render(h(StrictMode, {}, h(Page, { key: 1 }), h(Page, { key: 2 })));
  assert.equal(sockets.length, 1);
  await shown.act(() => sockets[0].receive(WELCOME));
  assert.equal(shown.text(), "truetrue");
  await shown.show(h(StrictMode, {}, h(Page, { key: 2 })));
  t.mock.timers.tick(6000);
  assert.equal(sockets[0].closedWith, null, "one component is left");
  await shown.unmount();
  t.mock.timers.tick(6000);
  assert.notEqual(sockets[0].closedWith, null);
});

test("its own chat is never another user's, and one that has ended is not kept", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, options } = surroundings();
  compat.configure(options);
  const Page = ({ userId }) => String(compat.useChatRest({ roomId: "r", userId }).isConnected);
  const shown = await render(h(Page, { userId: "ann" }));
  await shown.act(() => sockets[0].receive(WELCOME));
  assert.equal(shown.text(), "true");
  await shown.show(h(Page, { userId: "ben" }));
  t.mock.timers.tick(0);
  assert.equal(shown.text(), "false");
  assert.notEqual(sockets[0].closedWith, null, "ann's is closed");
  assert.equal(sockets.length, 2, "ben has a socket of his own");
  // Gone, and somebody else comes a little later.
  await shown.unmount();
  t.mock.timers.tick(1);
  assert.notEqual(sockets[1].closedWith, null);
  const other = await render(h(Page, {}));
  assert.equal(sockets.length, 3);
  await other.unmount();
  t.mock.timers.tick(1);
});

test("times are those of a page's own dates, though the service is more exact", async () => {
  const made = world();
  made.service.write(1, "r", { createdAt: "2027-01-15T08:00:01.234567Z" });
  const { seen, unmount } = await live(made);
  assert.equal(seen.messages[0].createdAt, "2027-01-15T08:00:01.234Z");
  await unmount();
});

test("what the system says is not shown, counts for nothing that is loaded, and is read with what stands before it", async () => {
  const made = world();
  for (let n = 0; n < 60; n += 1) made.service.write(1, "r", n % 2 ? { contentType: "SYSTEM", content: "joined" } : {});
  const { seen, act, unmount } = await live(made, 0);
  assert.ok(seen.messages.length > 0 && seen.messages.every(({ content }) => content !== "joined"));
  await act(() => seen.loadMessages(30));
  assert.equal(seen.messages.length, 30);
  await act(() => void seen.markAsRead([seen.messages.at(-1).id]));
  await act(settle);
  assert.equal(made.socket().last("read").seq, 60);
  await act(() => void seen.markAsRead([seen.messages.at(-2).id]));
  await unmount();
});

test("a send that does not come about in 20 s rejects, and nothing of it is sent later", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { seen, socket, service, chat, clock, act, unmount } = await live();
  service.down = true;
  await act(() => socket().drop());
  let failed = null;
  await act(() => void seen.sendMessage("hello").catch((error) => (failed = error)));
  t.mock.timers.tick(19_999);
  await act(settle);
  assert.equal(failed, null);
  t.mock.timers.tick(1);
  await act(() => clock.advance(1000));
  assert.equal(failed?.code, "network");
  assert.deepEqual(chat.room("r").getSnapshot().pending, []);
  service.down = false;
  const tried = service.matching("POST", /messages$/).length;
  await act(() => clock.advance(120_000));
  assert.equal(service.matching("POST", /messages$/).length, tried);
  await unmount();
});

test("what a page does in its first effect is done when there is a chat", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, service, options } = surroundings();
  service.write(120);
  compat.configure(options);
  let loaded = null;
  function Page() {
    const { messages, loadMessages, sendMessage } = compat.useChatRest({ roomId: "r" });
    React.useEffect(() => void loadMessages(100).then(() => (loaded = true)), [loadMessages]);
    React.useEffect(() => void sendMessage("hello").catch(() => {}), []);
    return String(messages.length);
  }
  const shown = await render(h(Page));
  await shown.act(() => sockets[0].receive(WELCOME));
  await shown.act(() => subscribe({ service, socket: () => sockets[0] }));
  await shown.act(settle);
  assert.equal(loaded, true);
  assert.ok(Number(shown.text()) >= 100, shown.text());
  const sent = service.matching("POST", /messages$/).map(({ body }) => body.content);
  assert.deepEqual([...sent, ...sockets[0].all("send").map(({ message }) => message.content)], ["hello"]);
  await shown.unmount();
  t.mock.timers.tick(30_000);
});
