/** The hooks in the real React, with the client's world under control. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { React, render, renderToString, surroundings, tidings } from "./support.js";
import { WELCOME, subscribe, world } from "../client/support.js";

const { ChatProvider, useChat, useConnection, useRoom, useStats } = tidings;
const { StrictMode, createElement: h, useEffect, useLayoutEffect } = React;

function Talk({ id = "r", onRoom = () => {} }) {
  const room = useRoom(id);
  onRoom(room);
  return h("p", {}, `${room.messages.map(({ content }) => content).join(",")}|${room.unreadCount}`);
}

function Status() {
  const { status, reason } = useConnection();
  return h("i", {}, `${status}${reason === null ? "" : `: ${reason}`}`);
}

const inside = (chat, ...children) => h(StrictMode, {}, h(ChatProvider, { chat }, ...children));

async function live(shown, made = world()) {
  made.service.write(3);
  const page = await render(inside(made.chat, ...shown));
  await page.act(() => made.socket().receive(WELCOME));
  await page.act(() => subscribe(made));
  return { ...made, page };
}

test("a room shows what it holds, and every change of it", async () => {
  const { page, socket, service } = await live([h(Talk, { key: 1 }), h(Status, { key: 2 })]);
  assert.equal(page.text(), "text 1,text 2,text 3|0live");
  service.write(1);
  const message = service.room("r").messages.at(-1);
  await page.act(() => socket().receive({ type: "message", roomId: "r", message }));
  assert.match(page.text(), /text 3,text 4/);
  await page.unmount();
});

test("strict mode neither loses the room nor opens it twice", async () => {
  const { page, sockets, socket } = await live([h(Talk, { key: 1 }), h(Talk, { key: 2 })]);
  assert.equal(sockets.length, 1);
  assert.equal(socket().all("subscribe").length, 1, "two components and two mounts are one subscription");
  assert.equal(socket().all("unsubscribe").length, 0);
  await page.unmount();
});

test("a room that nobody shows is closed a little later, and found as it was before that", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const made = world();
  const { page, socket, chat } = await live([h(Talk, { key: 1 })], made);
  await page.show(inside(chat));
  t.mock.timers.tick(4000);
  await page.show(inside(chat, h(Talk, { key: 1 })));
  t.mock.timers.tick(10_000);
  assert.equal(page.text(), "text 1,text 2,text 3|0", "nothing had to be read again");
  assert.equal(socket().all("unsubscribe").length, 0);
  await page.show(inside(chat));
  t.mock.timers.tick(5000);
  assert.deepEqual(socket().all("unsubscribe").map(({ roomId }) => roomId), ["r"]);
  await page.unmount();
});

test("another room takes the place of the one before, and what is done is done there", async () => {
  let shown;
  const made = await live([h(Talk, { key: 1, onRoom: (room) => (shown = room) })]);
  await made.page.show(inside(made.chat, h(Talk, { key: 1, id: "s", onRoom: (room) => (shown = room) })));
  assert.equal(made.page.text(), "|0", "nothing of the other room is shown");
  await made.page.act(() => void shown.send("hello"));
  assert.deepEqual(made.socket().all("send").map(({ roomId, message }) => [roomId, message.content]), [["s", "hello"]]);
  assert.equal(made.chat.room("s").getSnapshot().pending[0].content, "hello");
  assert.equal(made.chat.room("r").getSnapshot().pending.length, 0);
  await made.page.unmount();
});

test("what is rendered keeps its identity as long as nothing changed", async () => {
  const seen = new Set();
  const { page, chat } = await live([h(Talk, { key: 1, onRoom: (room) => seen.add(room) })]);
  const before = seen.size;
  await page.show(inside(chat, h(Talk, { key: 1, onRoom: (room) => seen.add(room) })));
  assert.equal(seen.size, before, "a render without a change gives the same object");
  await page.unmount();
});

test("a provider makes one chat, whatever strict mode does, and closes it when it is gone", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, options: surrounding } = surroundings();
  const options = { ...surrounding, getToken: () => "t" };
  let chat;
  const Peek = () => ((chat = useChat()), h(Status));
  const page = await render(h(StrictMode, {}, h(ChatProvider, { options }, h(Peek))));
  t.mock.timers.tick(0);
  await page.act(() => sockets[0].receive(WELCOME));
  assert.equal(page.text(), "live", "the first unmounting did not close it");
  assert.equal(sockets.length, 1);
  await page.unmount();
  t.mock.timers.tick(0);
  assert.equal(chat.connection.getSnapshot().status, "closed");
});

test("what is done in a component's first effect, before there is a chat, is done when there is one", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, options: surrounding, service } = surroundings();
  service.write(3);
  const done = [];
  function Eager() {
    const room = useRoom("r");
    useLayoutEffect(() => void room.send("one").then(({ state }) => done.push(state)), []);
    useEffect(() => {
      void room.send("two").then(({ state }) => done.push(state));
      void room.markRead(2);
      room.sendTyping();
      room.discard("nothing");
    }, []);
    return h(Talk);
  }
  const options = { ...surrounding, getToken: () => "t" };
  const page = await render(h(ChatProvider, { options }, h(Eager)));
  const [socket] = sockets;
  await page.act(() => socket.receive(WELCOME));
  await page.act(() => subscribe({ service, socket: () => socket }));
  const sent = service.matching("POST", /messages$/).map(({ body }) => body.content);
  assert.deepEqual([...sent, ...socket.all("send").map(({ message }) => message.content)], ["one", "two"]);
  assert.equal(service.matching("POST", /read$/).length + socket.all("read").length, 1);
  await page.unmount();
  t.mock.timers.tick(10_000);
});

test("what is kept of a room that has closed still works, and leaves nothing open", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let kept;
  const made = world();
  const { page, socket, chat, service } = await live([h(Talk, { key: 1, onRoom: (room) => (kept = room) })], made);
  await page.show(inside(chat));
  t.mock.timers.tick(5000);
  const unsubscribed = () => socket().all("unsubscribe").length;
  assert.equal(unsubscribed(), 1);
  let state;
  await page.act(() => void kept.send("late").then((sent) => (state = sent.state)));
  await page.act(() => subscribe(made));
  t.mock.timers.tick(60_000);
  assert.equal(unsubscribed(), 1, "it is open until the message is sent");
  const { id, message } = socket().last("send");
  await page.act(() => socket().receive({ type: "ok", id, message: service.write(1, "r", { id: message.id, content: "late" }) }));
  assert.equal(state, "sent");
  t.mock.timers.tick(5000);
  assert.equal(unsubscribed(), 2);
  await page.act(() => void kept.sendTyping());
  t.mock.timers.tick(5000);
  assert.equal(unsubscribed(), 3);
  await page.unmount();
});

test("a room that the application has opened stays open when nobody shows it, and one that is shown when it is closed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const made = world();
  const own = made.chat.room("r");
  const { page, socket, chat, service } = await live([h(Talk, { key: 1 })], made);
  await page.show(inside(chat));
  t.mock.timers.tick(60_000);
  assert.equal(socket().all("unsubscribe").length, 0);
  assert.equal(chat.room("r"), own);
  await page.show(inside(chat, h(Talk, { key: 1 })));
  own.close();
  service.write(1);
  await page.act(() => socket().receive({ type: "message", roomId: "r", message: service.room("r").messages.at(-1) }));
  assert.match(page.text(), /text 4/);
  await page.show(inside(chat));
  t.mock.timers.tick(5000);
  assert.equal(socket().all("unsubscribe").length, 1);
  assert.notEqual(chat.room("r"), own);
  await page.unmount();
});

test("one who has left a room and comes back is shown another one", async () => {
  const made = world();
  const { page, chat, act } = await live([h(Talk, { key: 1 })], made).then((all) => ({ ...all, act: all.page.act }));
  await act(() => chat.leave("r"));
  await page.show(inside(chat));
  made.service.write(1);
  await page.show(inside(chat, h(Talk, { key: 2 })));
  await act(() => subscribe(made));
  assert.match(page.text(), /text 4/);
  await page.unmount();
});

test("frames that change nothing of the connection render nothing that only shows that", async () => {
  let connections = 0;
  let stats;
  const Shows = () => ((connections += 1), h(Status));
  const Counts = () => ((stats = useStats()), null);
  const Watches = () => (useConnection(), Shows());
  const { page, socket } = await live([h(Talk, { key: 1 }), h(Watches, { key: 2 }), h(Counts, { key: 3 })]);
  const [before, frames] = [connections, stats.framesIn];
  for (let n = 0; n < 10; n += 1) await page.act(() => socket().receive({ type: "pong" }));
  assert.equal(connections, before);
  assert.equal(stats.framesIn, frames + 10);
  await page.act(() => socket().drop(4100));
  assert.ok(connections > before, "but what changes it does");
  assert.equal(stats.drops, 1);
  await page.unmount();
});

test("on a server nothing is opened, and the page begins as it will in the browser", async () => {
  const opened = mock.fn();
  const options = { baseUrl: "http://chat.test", WebSocket: opened, fetch: opened };
  const html = renderToString(h(ChatProvider, { options }, h(Talk), h(Status)));
  assert.equal(html, "<p>|0</p><i>connecting</i>");
  assert.equal(opened.mock.callCount(), 0);
});

test("without a provider one is told what is missing", () => {
  assert.throws(() => renderToString(h(Talk)), /<ChatProvider>/);
});
