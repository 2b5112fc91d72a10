/** The transport's state machine: socket, polls meanwhile, and the way back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jwt, liveRoom, polledRoom, problem, seqs, settle, subscribe, WELCOME, world } from "./support.js";

test("the token travels as a subprotocol, never in the address", async () => {
  const { socket } = world();
  await settle();
  assert.equal(socket().url, "ws://chat.test/api/chat/ws");
  assert.deepEqual(socket().protocols, ["tidings.v1", "bearer.token-1"]);
});

test("a welcome makes it live: watch, then each open room", async () => {
  const { chat, socket, status, service } = world();
  service.write();
  chat.room("r");
  await settle();
  assert.equal(status(), "connecting");
  await socket().receive(WELCOME);
  assert.equal(status(), "live");
  assert.deepEqual(socket().sent.filter(({ type }) => type !== "ping").map(({ type }) => type), ["watch", "subscribe"]);
  assert.equal(socket().last("subscribe").since, undefined);
});

test("without a welcome in 2.5 s polls begin, and the same socket may still take over", async () => {
  const made = world();
  const { chat, clock, socket, service, status } = made;
  service.write(2);
  const room = chat.room("r");
  await clock.advance(2499);
  assert.equal(service.metas.length, 0);
  await clock.advance(1);
  assert.equal(status(), "polling");
  assert.deepEqual(seqs(room), [1, 2]);
  await socket().receive(WELCOME);
  assert.equal(status(), "live");
  assert.equal(socket().last("subscribe").since, 2);
  assert.equal(socket().last("subscribe").history, "h1");
  await subscribe(made);
  const polls = service.metas.length;
  await clock.advance(20_000);
  assert.equal(service.metas.length, polls, "a live chat does not poll");
});

test("an attempt without a welcome is given up after 10 s and made again", async () => {
  const { clock, sockets } = world();
  await clock.advance(10_000);
  assert.equal(sockets[0].closedWith, 1000);
  await clock.advance(500);
  assert.equal(sockets.length, 2);
});

test("a drop is polled over at once and handed back without loss or double", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service, status } = made;
  service.write(2);
  await socket().drop();
  assert.equal(status(), "polling");
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  service.write(1);
  await clock.advance(500);
  service.write(1);
  await socket().receive(WELCOME);
  await subscribe(made);
  await socket().receive({ type: "message", roomId: "r", message: service.write() });
  assert.equal(status(), "live");
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(room.getSnapshot().complete, true);
});

test("a poll still in flight when the socket takes over doubles nothing and loses nothing", async () => {
  const made = await liveRoom(3);
  const { room, clock, socket, service } = made;
  service.hold();
  await socket().drop();
  service.write(1);
  await clock.advance(500);
  await socket().receive(WELCOME);
  await subscribe(made);
  service.write(1);
  await socket().receive({ type: "message", roomId: "r", message: service.room().messages.at(-1) });
  await service.release();
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  assert.equal(room.getSnapshot().rev, 5);
});

test("a poll that hangs does not keep the next loss of the socket from being polled over", async () => {
  const { clock, socket, service, room } = await liveRoom(3);
  service.hold();
  await socket().drop();
  const hanging = service.metas.length;
  await clock.advance(500);
  await socket().receive(WELCOME);
  service.holding = false;
  service.write();
  await socket().drop();
  assert.equal(service.metas.length, hanging + 1);
  assert.equal(service.mostMetaInFlight, 1);
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("back-off doubles from 0.5 s to 20 s with full jitter", async () => {
  const { clock, sockets, socket } = world();
  await settle();
  for (const wait of [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]) {
    const before = sockets.length;
    await socket().drop();
    await clock.advance(wait - 1);
    assert.equal(sockets.length, before, `nothing before ${wait} ms`);
    await clock.advance(1);
    assert.equal(sockets.length, before + 1, `again after ${wait} ms`);
  }
  const lucky = world({ random: () => 0 });
  await settle();
  await lucky.socket().drop();
  await lucky.clock.advance(0);
  assert.equal(lucky.sockets.length, 2, "jitter goes down to nothing");
});

test("back-off begins anew only after 10 s of a stable connection", async () => {
  const { clock, sockets, socket } = world();
  await settle();
  await socket().drop();
  await clock.advance(500);
  await socket().receive(WELCOME);
  await clock.advance(9_999);
  await socket().drop();
  await clock.advance(999);
  assert.equal(sockets.length, 2, "an unstable one goes on doubling");
  await clock.advance(1);
  await socket().receive(WELCOME);
  await clock.advance(10_000);
  await socket().drop();
  await clock.advance(500);
  assert.equal(sockets.length, 4);
});

test("4200 comes back after the delay given, and a page in front does not hasten it", async () => {
  const { clock, sockets, socket, visibility } = await liveRoom();
  await socket().receive({ type: "drain", reconnectInMs: 8000 });
  await clock.advance(1000);
  await socket().drop(4200, "drain");
  await visibility.show();
  await clock.advance(6999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
});

test("a page that comes to the front or online does not wait out the back-off", async () => {
  const { sockets, socket, visibility } = await liveRoom();
  await socket().drop();
  assert.equal(sockets.length, 1);
  await visibility.show();
  assert.equal(sockets.length, 2);
});

test("4101 renews the token once, then it is over", async () => {
  const asked = [];
  const { clock, sockets, socket, status } = world({
    getToken: ({ renew }) => {
      asked.push(renew);
      return `token-${asked.length}`;
    },
  });
  await settle();
  await socket().drop(4101, "token_expired");
  await clock.advance(1000);
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(socket().protocols, ["tidings.v1", "bearer.token-2"]);
  await socket().drop(4101, "token_expired");
  await clock.advance(60_000);
  assert.equal(status(), "closed");
  assert.equal(sockets.length, 2);
});

test("a ping every heartbeat; ten seconds without a sound and the socket is dead", async () => {
  const { clock, sockets, socket, status } = await liveRoom();
  await socket().receive({ type: "pong" });
  const pings = socket().all("ping").length;
  await clock.advance(25_000);
  assert.equal(socket().all("ping").length, pings + 1);
  await clock.advance(9_999);
  assert.equal(status(), "live");
  await clock.advance(1);
  assert.equal(status(), "polling");
  assert.equal(sockets[0].closedWith, 1000);
});

test("anything heard is a sign of life", async () => {
  const { clock, socket, status } = await liveRoom();
  await clock.advance(9_000);
  await socket().receive({ type: "presence", roomId: "r", userId: "you", online: true });
  await clock.advance(25_000);
  assert.equal(status(), "live", "the first ping went unanswered, and yet it lives");
  await socket().receive({ type: "typing", roomId: "r", userId: "you", ttlMs: 6000 });
  await clock.advance(15_000);
  assert.equal(status(), "live");
});

test("an extra ping leaves no second deadline behind", async () => {
  const { clock, socket, visibility, status } = await liveRoom();
  await visibility.show();
  await visibility.show();
  await socket().receive({ type: "pong" });
  await clock.advance(20_000);
  assert.equal(status(), "live");
});

test("the round trip is a ping's, and bytes are counted both ways", async () => {
  const { clock, socket, stats } = await liveRoom();
  await socket().receive({ type: "pong" });
  await clock.advance(25_000);
  await clock.advance(42);
  const { bytesIn } = stats();
  await socket().receive({ type: "pong" });
  assert.equal(stats().roundTripMs, 42);
  assert.equal(stats().bytesIn, bytesIn + JSON.stringify({ type: "pong" }).length);
  assert.ok(stats().bytesOut > 0);
});

test("neither socket nor poll is offline, and it comes back by itself", async () => {
  const { clock, socket, service, status, chat } = await liveRoom();
  service.down = true;
  await socket().drop();
  assert.equal(status(), "offline");
  assert.match(chat.connection.getSnapshot().reason, /cannot be reached/);
  service.down = false;
  await clock.advance(2500);
  assert.equal(status(), "polling");
});

test("the switch cuts the socket, polls take over, and it comes back", async () => {
  const made = await liveRoom();
  const { chat, clock, sockets, socket, status, room, service } = made;
  chat.useSocket(false);
  await settle();
  assert.equal(status(), "polling");
  await clock.advance(60_000);
  assert.equal(sockets.length, 1, "and stays cut");
  service.write();
  chat.useSocket(true);
  await settle();
  await socket().receive(WELCOME);
  await subscribe(made);
  assert.equal(status(), "live");
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("the session is renewed in place before the token ends", async () => {
  const start = 1_800_000_000_000;
  const tokens = [jwt(start + 600_000, "a"), jwt(start + 6_000_000, "b")];
  const { clock, socket, sockets } = await liveRoom(1, { getToken: ({ renew }) => tokens[renew ? 1 : 0] });
  const quiet = async (ms) => {
    for (let left = ms; left > 0; left -= 5000) {
      await clock.advance(Math.min(left, 5000));
      await socket().receive({ type: "pong" });
    }
  };
  await quiet(539_000);
  assert.equal(socket().all("auth").length, 0);
  await quiet(2000);
  assert.equal(socket().last("auth").token, tokens[1]);
  assert.equal(sockets.length, 1);
});

test("`expiring` renews at once", async () => {
  let asked = 0;
  const { socket } = await liveRoom(1, { getToken: () => `token-${(asked += 1)}` });
  await socket().receive({ type: "expiring", inMs: 60_000 });
  assert.equal(socket().last("auth").token, "token-2");
});

test("a 401 is tried once more with another token; a second one closes", async () => {
  let asked = 0;
  const { service, chat, status } = world({ socket: false, getToken: () => `token-${(asked += 1)}` });
  let good = "Bearer token-2";
  service.before = ({ headers }) => (headers.authorization === good ? undefined : problem(401, "token_expired"));
  chat.room("r");
  service.write();
  await settle();
  assert.equal(status(), "polling");
  assert.equal(asked, 2);
  good = "none";
  await assert.rejects(chat.session().then(() => chat.publicRooms()), { code: "token_expired" });
  assert.equal(status(), "closed");
  assert.equal(asked, 3);
});

test("no token to give closes; a getToken that throws is tried again", async () => {
  const none = world({ getToken: () => null });
  await settle();
  assert.equal(none.status(), "closed");
  let broken = true;
  const thrown = world({
    getToken: () => {
      if (broken) throw new Error("sign-in is down");
      return "token-1";
    },
  });
  await settle();
  assert.equal(thrown.status(), "offline");
  broken = false;
  await thrown.clock.advance(500);
  await thrown.socket().receive(WELCOME);
  assert.equal(thrown.status(), "live");
});

test("a room says to which revision it is complete, and since when", async () => {
  const { room, clock, socket, service } = await liveRoom(3);
  const { rev, revSince } = room.getSnapshot();
  assert.deepEqual([rev, revSince], [3, clock.now()]);
  await clock.advance(5000);
  await socket().receive({ type: "presence", roomId: "r", userId: "you", online: true });
  assert.equal(room.getSnapshot().revSince, revSince, "nothing of the log has changed");
  await socket().receive({ type: "message", roomId: "r", message: service.write() });
  assert.equal(room.getSnapshot().rev, 4);
  assert.equal(room.getSnapshot().revSince, revSince + 5000);
});

test("closed by the application is closed", async () => {
  const { chat, clock, socket, service, status } = await liveRoom();
  chat.close();
  await clock.advance(60_000);
  assert.equal(status(), "closed");
  assert.equal(socket().closedWith, 1000);
  await assert.rejects(chat.publicRooms(), { code: "closed" });
  assert.equal(service.metas.length, 0);
});

test("who watches the connection hears of what changes it, and who watches the figures of the rest", async () => {
  const { chat, clock, status } = await polledRoom();
  let told = 0;
  let counted = 0;
  chat.connection.subscribe(() => (told += 1));
  chat.stats.subscribe(() => (counted += 1));
  const before = chat.connection.getSnapshot();
  const { polls } = chat.stats.getSnapshot();
  await clock.advance(25_000);
  assert.equal(status(), "polling");
  assert.equal(told, 0);
  assert.equal(chat.connection.getSnapshot(), before);
  assert.ok(counted >= 10 && chat.stats.getSnapshot().polls === polls + 10, `${counted}`);
});

test("a socket that ends for good is counted, too", async () => {
  const { socket, stats } = await liveRoom();
  stats();
  await socket().drop(4005);
  assert.equal(stats().drops, 1);
});
