/** The hooks in the real React, with the client's world under control. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { React, render, renderToString, surroundings, tidings } from "./support.js";
import { WELCOME, subscribe, world } from "../client/support.js";

const { ChatProvider, useChat, useConnection, useRoom } = tidings;
const { StrictMode, createElement: h } = React;

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
