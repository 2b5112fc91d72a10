/** How it ends, and how it comes back: close codes, refused tokens, suspended users, sockets that died unseen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, polledRoom, problem, settle, WELCOME, world } from "./support.js";

const reason = (chat) => chat.connection.getSnapshot().reason;

for (const [code, name] of [[4001, "unauthenticated"], [4003, "forbidden"], [4004, "revoked"], [4005, "suspended"], [4099, "later"]]) {
  test(`close code ${code} is for good, and its reason is shown`, async () => {
    const { chat, clock, sockets, socket, service, status } = await liveRoom();
    await socket().drop(code, code === 4099 ? name : "");
    const asked = service.requests.length;
    await clock.advance(120_000);
    assert.equal(status(), "closed");
    assert.equal(reason(chat), name);
    assert.equal(sockets.length, 1);
    assert.equal(service.requests.length, asked, "and it polls no more");
  });
}

for (const code of [4001, 4004]) {
  test(`close code ${code} is met once with another token, should the application have one`, async () => {
    let asked = 0;
    const { chat, clock, sockets, socket, status } = await liveRoom(1, { getToken: () => `token-${(asked += 1)}` });
    await socket().drop(code);
    await clock.advance(500);
    assert.deepEqual(socket().protocols, ["tidings.v1", "bearer.token-2"]);
    await socket().drop(code, "again");
    await clock.advance(120_000);
    assert.equal(status(), "closed");
    assert.equal(reason(chat), "again");
    assert.equal(sockets.length, 2);
    assert.equal(asked, 2);
  });
}

test("a sign-in that is down just then is asked again, and not taken for a no", async () => {
  let asked = 0;
  const getToken = () => {
    if ((asked += 1) === 2) throw new Error("sign-in is down");
    return `token-${asked}`;
  };
  const { clock, socket, status } = await liveRoom(1, { getToken });
  await socket().drop(4004);
  await clock.advance(500);
  await socket().receive(WELCOME);
  assert.equal(status(), "live");
});

for (const [code, name] of [[4100, "overloaded"], [4102, "rate_limited"], [4103, "too_many_connections"], [4104, "auth_timeout"], [4106, "disconnected"], [4199, "later"]]) {
  test(`close code ${code} comes back with back-off, and polls meanwhile`, async () => {
    const { chat, clock, sockets, socket, status } = await liveRoom();
    await socket().drop(code, code === 4199 ? name : "");
    assert.equal(status(), "polling");
    assert.equal(reason(chat), name);
    for (const wait of [500, 1000]) {
      const before = sockets.length;
      await clock.advance(wait - 1);
      assert.equal(sockets.length, before);
      await clock.advance(1);
      assert.equal(sockets.length, before + 1);
      await socket().drop(code);
    }
  });
}

for (const [code, name] of [[1002, "protocol_error"], [1003, "text_frames_only"], [1007, "invalid_utf8"], [1009, "too_large"]]) {
  test(`close code ${code} would come again: it polls, and tries a socket after ten minutes`, async () => {
    const { chat, clock, sockets, socket, status, visibility } = await liveRoom();
    await clock.advance(20_000);
    await socket().drop(code, name);
    assert.equal(status(), "polling");
    assert.equal(reason(chat), name);
    await clock.advance(5 * 60_000);
    await visibility.show();
    await clock.advance(5 * 60_000 - 1);
    assert.equal(sockets.length, 1, "not even when the page comes back");
    await clock.advance(1);
    assert.equal(sockets.length, 2);
    await socket().receive(WELCOME);
    assert.equal(status(), "live");
    // What ends otherwise comes back as ever.
    await socket().drop(1006);
    await clock.advance(1000);
    assert.equal(sockets.length, 3);
  });
}

test("a message too large for a frame is refused by POST, and not tried on one socket after the other", async () => {
  const { room, sockets, socket, service, clock } = await liveRoom(0);
  service.before = ({ method }) => (method === "POST" ? problem(413, "too_large") : undefined);
  const sent = room.send({ content: "big", metadata: { big: true } });
  await socket().drop(1009, "too_large");
  assert.deepEqual([(await sent).state, (await sent).error.code], ["failed", "too_large"]);
  await clock.advance(60_000);
  assert.equal(sockets.length, 1);
});

for (const [status, code] of [[401, "token_revoked"], [401, "unauthenticated"], [403, "suspended"]]) {
  test(`${status} ${code} on a poll closes with that reason, and asks no more`, async () => {
    const { chat, clock, service, status: state } = await polledRoom();
    service.before = () => problem(status, code);
    await clock.advance(2500);
    assert.equal(state(), "closed");
    assert.equal(reason(chat), code);
    const asked = service.requests.length;
    await clock.advance(120_000);
    assert.equal(service.requests.length, asked);
  });
}

test("a 403 of another kind closes nothing", async () => {
  const { chat, service, status } = await polledRoom();
  service.before = ({ path }) => (path.includes("PUBLIC") ? problem(403, "forbidden") : undefined);
  await assert.rejects(chat.publicRooms(), { code: "forbidden" });
  assert.equal(status(), "polling");
});

test("a renewal that the service refuses for good ends it", async () => {
  let asked = 0;
  const { chat, socket, status } = await liveRoom(1, { getToken: () => `token-${(asked += 1)}` });
  await socket().receive({ type: "expiring", inMs: 60_000 });
  await socket().receive({ type: "error", id: socket().last("auth").id, code: "suspended", detail: "" });
  assert.equal(status(), "closed");
  assert.equal(reason(chat), "suspended");
});

test("a page that comes back gives its socket 3 s to show that it lives", async () => {
  const { clock, socket, sockets, visibility, status } = await liveRoom();
  await socket().receive({ type: "pong" });
  const pings = socket().all("ping").length;
  await visibility.show();
  assert.equal(socket().all("ping").length, pings + 1);
  await clock.advance(2000);
  await visibility.show();
  await clock.advance(999);
  assert.equal(status(), "live");
  await clock.advance(1);
  assert.equal(status(), "polling", "whoever comes back twice waits no longer");
  assert.equal(sockets[0].closedWith, 1000);
});

test("a socket that answers the probe stays", async () => {
  const { clock, socket, sockets, visibility, status } = await liveRoom();
  await visibility.show();
  await clock.advance(2999);
  await socket().receive({ type: "pong" });
  await clock.advance(20_000);
  assert.equal(status(), "live");
  assert.equal(sockets.length, 1);
});

test("a proxy that takes the upgrade and swallows what follows is found out", async () => {
  const { clock, socket, status } = world();
  await settle();
  await socket().receive(WELCOME);
  assert.equal(status(), "live");
  await clock.advance(10_000);
  assert.equal(status(), "polling");
});

test("what an error tells beside its code is kept, by frame and by HTTP", async () => {
  const details = { used: 1, limit: 1, resetsAt: "2026-11-22T23:00:00.000000Z" };
  const live = await liveRoom(0);
  const sent = live.room.send("hello");
  await live.socket().receive({ type: "error", id: live.socket().last("send").id, code: "quota_exceeded", detail: "used up", ...details });
  assert.deepEqual((await sent).error.details, details);
  const polled = await polledRoom(0);
  polled.service.before = ({ method }) =>
    method === "POST" ? { status: 422, body: { code: "content_rejected", detail: "no", reason: "a word" } } : undefined;
  const { state, error } = await polled.room.send("hello");
  assert.equal(state, "failed");
  assert.deepEqual([error.code, error.details], ["content_rejected", { reason: "a word" }]);
});
