/** Who is in a room just now, and how many, where it is too big for anybody to be told who. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveRoom, polledRoom, settle, subscribe, WELCOME, world } from "./support.js";

const asked = (service) => service.matching("GET", /presence/).length;
const told = (room) => [room.getSnapshot().online, room.getSnapshot().onlineCount];

/** Rooms of more than 200 members have a count only. */
function isBig(service, count) {
  service.before = ({ path }) => (path.endsWith("/presence") ? { body: { online: [], count: count() } } : undefined);
}

test("in a room of which one is told who is there, they are counted as they come and go", async () => {
  const { room, socket } = await liveRoom();
  assert.deepEqual(told(room), [["you"], 1]);
  await socket().receive({ type: "presence", roomId: "r", userId: "them", online: true });
  assert.deepEqual(told(room), [["you", "them"], 2]);
});

test("of a big room the count is told, and asked for again while it is live and looked at", async () => {
  let count = 250;
  const { room, socket, service, clock, visibility } = await liveRoom();
  isBig(service, () => count);
  await socket().drop();
  await clock.advance(30_000);
  assert.deepEqual(told(room), [[], 250], "by polls, too");
  count = 251;
  const before = asked(service);
  await clock.advance(60_000);
  assert.deepEqual(told(room), [[], 251]);
  assert.ok(asked(service) <= before + 2, "no more often than every 30 s");
  visibility.isHidden = true;
  const hidden = asked(service);
  await clock.advance(120_000);
  assert.equal(asked(service), hidden);
  visibility.isHidden = false;
  await clock.advance(30_000);
  assert.equal(asked(service), hidden + 1);
  room.close();
  await clock.advance(120_000);
  assert.equal(asked(service), hidden + 1);
});

test("live, a big room is asked about by itself, and a small one is not", async () => {
  for (const big of [false, true]) {
    const made = world();
    const { service, clock, socket, status, visibility } = made;
    if (big) isBig(service, () => 300);
    service.write(3);
    const room = made.chat.room("r");
    await settle();
    await socket().receive(WELCOME);
    await subscribe(made);
    const live = async (seconds) => {
      for (let n = 0; n < seconds; n += 5) {
        await clock.advance(5000);
        await socket().receive({ type: "pong" });
      }
      assert.equal(status(), "live");
    };
    await live(90);
    assert.deepEqual([asked(service), room.getSnapshot().onlineCount], big ? [4, 300] : [1, 1]);
    visibility.isHidden = true;
    await live(90);
    visibility.isHidden = false;
    await live(30);
    assert.equal(asked(service), big ? 5 : 1);
    made.chat.close();
  }
});

test("a room that has become small again is told as one", async () => {
  const { room, service, clock } = await polledRoom();
  isBig(service, () => 250);
  await clock.advance(31_000);
  assert.deepEqual(told(room), [[], 250]);
  service.before = null;
  await clock.advance(31_000);
  assert.deepEqual(told(room), [["you"], 1]);
  await settle();
});
