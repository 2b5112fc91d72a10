/** A service that stops says when to come back: the next socket is there before the last one is left. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, seqs, settle, subscribe, texts, WELCOME } from "./support.js";
import { browser } from "./tabs-support.js";

const DRAIN = { type: "drain", reconnectInMs: 800 };

/** A live room whose service has told it to come back, with its next socket under way. */
async function moving(count = 3) {
  const made = await liveRoom(count);
  const told = [];
  made.chat.connection.subscribe(() => told.push(made.status()));
  const [old] = made.sockets;
  await old.receive(DRAIN);
  await made.clock.advance(800);
  return { ...made, old, told };
}

/** The old socket answers what it was asked last. */
const answered = (old) => old.receive({ type: "pong", id: old.sent.findLast(({ type, id }) => type === "ping" && id !== undefined).id });
const push = (socket, message) => socket.receive({ type: "message", roomId: "r", message });

test("the next socket is opened at its moment, and the last one left once the room follows there", async () => {
  const made = await liveRoom(3);
  const { chat, clock, room, service, sockets, status } = made;
  await chat.rooms.load();
  const told = [];
  chat.connection.subscribe(() => told.push(status()));
  const [old] = sockets;
  await old.receive(DRAIN);
  await clock.advance(799);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
  const [, next] = sockets;
  await push(old, service.write());
  await next.receive(WELCOME);
  const { since, history } = next.last("subscribe");
  assert.deepEqual([since, history], [4, "h1"], "from what came by the old one");
  assert.equal(next.all("watch").length, 1);
  await push(old, service.write());
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5], "the old one counts until the new one answers");
  await answered(old);
  await next.receive({ type: "ok", id: next.last("watch").id });
  assert.equal(old.closedWith, null, "the room does not follow there yet");
  await subscribe(made);
  assert.equal(old.closedWith, 1000);
  await push(next, service.write());
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5, 6]);
  assert.equal(room.getSnapshot().complete, true);
  assert.equal(chat.stats.getSnapshot().drops, 0);
  await clock.advance(9000);
  const loaded = service.matching("GET", /rooms\?/).length;
  assert.deepEqual([told, sockets.length, service.metas.length, loaded], [[], 2, 0, 1], "nobody has noticed");
});

test("what comes by both sockets is there once, however far apart they are", async () => {
  const made = await moving();
  const { old, room, service, socket } = made;
  await socket().receive(WELCOME);
  const [four, five, six] = [service.write(), service.edit(1, "edited"), service.write()];
  await push(old, four);
  await subscribe(made);
  await push(socket(), six);
  await push(old, five);
  await push(old, six);
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(texts(room)[0], "edited");
  assert.equal(room.getSnapshot().rev, 6);
  assert.equal(service.pages.length, 0, "nothing had to be fetched");
});

test("a message on its way is answered on the old socket, and the next one waits for that", async () => {
  const made = await moving();
  const { old, room, service, socket } = made;
  const first = room.send("first");
  await socket().receive(WELCOME);
  await subscribe(made);
  await socket().receive({ type: "ok", id: socket().last("watch").id });
  const second = room.send("second");
  await settle();
  assert.equal(old.last("send").message.content, "first");
  assert.equal(socket().all("send").length, 0, "it would arrive before the first");
  assert.equal(old.closedWith, null);
  const { id, message } = old.last("send");
  await old.receive({ type: "ok", id, message: service.write(1, "r", { id: message.id, content: "first", senderId: "me" }) });
  assert.equal((await first).attempts, 0);
  const later = socket().last("send");
  assert.equal(later.message.content, "second");
  await answered(old);
  assert.equal(old.closedWith, 1000);
  await socket().receive({ type: "ok", id: later.id, message: service.write(1, "r", { id: later.message.id, content: "second", senderId: "me" }) });
  assert.equal((await second).state, "sent");
  assert.equal(service.matching("POST", /messages/).length, 0);
});

test("a next socket that is refused leaves the old one as it is, and is tried again", async () => {
  const made = await moving();
  const { clock, old, room, service, sockets, status, told } = made;
  await sockets[1].drop();
  assert.equal(status(), "live");
  await push(old, service.write());
  await clock.advance(500);
  assert.equal(sockets.length, 3);
  await sockets[2].drop(4100);
  await old.drop(4200, "drain");
  assert.equal(status(), "polling");
  await clock.advance(0);
  assert.equal(sockets.length, 4, "its moment has passed");
  await sockets[3].receive(WELCOME);
  await subscribe(made);
  await push(sockets[3], service.write());
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.deepEqual(told, ["connecting", "polling", "live"], "as it is whenever a socket ends");
});

test("an old socket that is closed too early is polled over until the next one is welcome", async () => {
  const made = await moving();
  const { clock, old, room, service, sockets, status } = made;
  service.write();
  await old.drop(4200, "drain");
  assert.equal(status(), "polling");
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  await clock.advance(2000);
  assert.equal(sockets.length, 2, "the one under way is waited for");
  await sockets[1].receive(WELCOME);
  await subscribe(made);
  assert.equal(status(), "live");
  await clock.advance(9000);
  assert.equal(sockets.length, 2);
});

test("and if that one says nothing either, it is given up as ever", async () => {
  const { clock, old, sockets } = await moving();
  await old.drop(4200, "drain");
  await clock.advance(9999);
  assert.equal(sockets[1].closedWith, null);
  await clock.advance(501);
  assert.equal(sockets[1].closedWith, 1000);
  assert.equal(sockets.length, 3);
});

test("a next socket that says nothing is given up after ten seconds, and the old one stays", async () => {
  const { clock, old, sockets, status } = await moving();
  await clock.advance(5000);
  await old.receive({ type: "pong" });
  await clock.advance(5000);
  assert.equal(sockets[1].closedWith, 1000);
  assert.equal(old.closedWith, null);
  assert.equal(status(), "live");
});

test("switched off or closed, neither socket stays", async () => {
  for (const end of [(chat) => chat.useSocket(false), (chat) => chat.close()]) {
    for (const welcome of [false, true]) {
      const { chat, clock, sockets } = await moving();
      if (welcome) await sockets[1].receive(WELCOME);
      end(chat);
      await clock.advance(60_000);
      assert.deepEqual(sockets.map(({ closedWith }) => closedWith), [1000, 1000]);
    }
  }
});

test("a next socket that is refused for good changes nothing as long as the old one is let", async () => {
  const { old, sockets, status } = await moving();
  await sockets[1].drop(4005, "suspended");
  assert.equal(status(), "live");
  await old.drop(4005, "suspended");
  assert.equal(status(), "closed");
});

// Tabs.

async function tabs(count) {
  const made = browser();
  made.service.write(3);
  const all = [];
  for (let n = 0; n < count; n += 1) all.push(await made.tab());
  await made.clock.advance(100);
  const told = [];
  for (const { chat, status } of all) chat.connection.subscribe(() => told.push(status()));
  const [old] = made.sockets.open;
  return { ...made, tabs: all, told, old };
}

test("tabs move to the leading tab's next socket together, and nobody notices", async () => {
  const { clock, tabs: all, told, old, sockets, service, write } = await tabs(4);
  old.tell(DRAIN);
  await clock.advance(799);
  assert.equal(sockets.made, 1);
  await write();
  await clock.advance(1);
  assert.equal(sockets.made, 2, "one for all");
  const sent = all.map(({ room }, n) => room.send(`text ${n}`));
  await write();
  await clock.advance(100);
  assert.equal(sockets.open.size, 1, "the old one is left");
  assert.equal(sockets.open.has(old), false);
  await write();
  assert.deepEqual((await Promise.all(sent)).map(({ state, attempts }) => [state, attempts]), Array(4).fill(["sent", 0]));
  for (const { room } of all) assert.deepEqual(texts(room), service.room().messages.map(({ content }) => content));
  await clock.advance(60_000);
  assert.deepEqual([told, sockets.made], [[], 2]);
});

test("tabs stay on the old socket while the next one is refused, and move with it later", async () => {
  const { clock, tabs: all, told, old, sockets, write } = await tabs(3);
  sockets.refuse = true;
  old.tell({ ...DRAIN, reconnectInMs: 0 });
  await clock.advance(600);
  assert.ok(sockets.made > 1 && sockets.open.has(old));
  await write();
  sockets.refuse = false;
  await clock.advance(20_000);
  assert.equal(sockets.open.has(old), false);
  assert.equal(sockets.open.size, 1);
  await write();
  for (const { room } of all) assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.deepEqual(told, []);
});

test("a tab that sleeps while the others move comes back when the old socket is closed", async () => {
  const { clock, tabs: all, old, sockets, write } = await tabs(3);
  const [, sleeper, other] = all;
  sleeper.freeze();
  old.tell({ ...DRAIN, reconnectInMs: 0 });
  await clock.advance(1000);
  assert.equal(sockets.open.size, 2, "the old one is kept for who has not moved");
  old.drop(4200, "drain");
  await write();
  assert.equal(other.status(), "live");
  await sleeper.thaw();
  await clock.advance(2000);
  assert.equal(sleeper.status(), "live");
  for (const { room } of all) assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  assert.equal(sockets.open.size, 1);
});
