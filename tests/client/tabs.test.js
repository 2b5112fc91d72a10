/** Many tabs, one socket: shared, taken over within two seconds, and nothing lost, doubled or out of order by it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jwt, problem, seqs, settle, texts } from "./support.js";
import { browser } from "./tabs-support.js";

const FIVE = [1, 2, 3, 4, 5];

async function open(count, options) {
  const made = browser(options);
  made.service.write(3);
  const tabs = [];
  for (let n = 0; n < count; n += 1) tabs.push(await made.tab());
  await made.clock.advance(100);
  return { ...made, tabs };
}

const live = (tabs) => tabs.map(({ status }) => status());

test("five tabs have one socket, and each is live with all of its room", async () => {
  const { tabs, sockets, write } = await open(5);
  assert.deepEqual(live(tabs), Array(5).fill("live"));
  assert.equal(sockets.open.size, 1);
  assert.equal(sockets.made, 1);
  await write();
  for (const { room } of tabs) assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("what any tab sends arrives in all of them, once and in order", async () => {
  const { tabs, service } = await open(3);
  const sent = [];
  for (let n = 0; n < 9; n += 1) sent.push(tabs[n % 3].room.send(`text ${n}`));
  assert.deepEqual((await Promise.all(sent)).map(({ state }) => state), Array(9).fill("sent"));
  await settle();
  const expected = service.room().messages.map(({ content }) => content);
  assert.equal(expected.length, 12);
  for (const { room } of tabs) assert.deepEqual(texts(room), expected);
  assert.equal(service.matching("POST", /messages/).length, 0, "all of it over the socket");
});

test("an idle minute keeps every tab live on the one socket", async () => {
  const { clock, tabs, sockets } = await open(3);
  await clock.advance(60_000);
  assert.deepEqual(live(tabs), ["live", "live", "live"]);
  assert.equal(sockets.made, 1);
});

test("a leading tab that dies is followed within two seconds", async () => {
  const { clock, tabs, sockets, service, write } = await open(5);
  const [leader, ...others] = tabs;
  assert.equal(leader.leads, true);
  await leader.die();
  service.write(2);
  await clock.advance(2000);
  assert.deepEqual(live(others), Array(4).fill("live"));
  assert.equal(sockets.open.size, 1);
  await write();
  for (const { room } of others) assert.deepEqual(seqs(room), [1, 2, 3, 4, 5, 6]);
});

test("a leading tab that freezes loses the lead within two seconds, and follows when it thaws", async () => {
  const { clock, tabs, sockets, write } = await open(3);
  const [leader, ...others] = tabs;
  leader.freeze();
  await clock.advance(2000);
  assert.equal([...sockets.open].filter(({ life }) => life !== leader.life).length, 1, "another one leads");
  await clock.advance(1000);
  assert.deepEqual(live(others), ["live", "live"]);
  await write();
  await leader.thaw();
  await clock.advance(3000);
  assert.deepEqual(live(tabs), ["live", "live", "live"]);
  assert.equal(sockets.open.size, 1, "the old socket is gone");
  await write();
  for (const { room } of tabs) assert.deepEqual(seqs(room), FIVE);
});

test("a hidden leader is not taken for a frozen one", async () => {
  const { clock, tabs, sockets } = await open(2);
  tabs[0].visibility.isHidden = true;
  await clock.advance(120_000);
  assert.equal(sockets.made, 1);
  assert.equal(tabs[0].leads, true);
});

test("a send cut off by a take-over is there once, in its place", async () => {
  const { clock, tabs, service } = await open(3);
  const [leader, follower, third] = tabs;
  leader.freeze();
  const sent = Promise.all(["one", "two", "three"].map((text) => follower.room.send(text)));
  await clock.advance(5000);
  assert.deepEqual((await sent).map(({ state }) => state), ["sent", "sent", "sent"]);
  await clock.advance(3000);
  assert.deepEqual(service.room().messages.slice(3).map(({ content }) => content), ["one", "two", "three"]);
  assert.deepEqual(texts(third.room).slice(3), ["one", "two", "three"]);
});

test("a tab far ahead or behind does not tear holes into another's list", async () => {
  const { clock, tabs, service, sockets, tab, write } = await open(2);
  // The socket misses these: both tabs are behind, and a third one begins with the newest page.
  service.write(120);
  const third = await tab();
  await clock.advance(5000);
  await write();
  await clock.advance(5000);
  for (const { room } of tabs) {
    assert.equal(room.getSnapshot().complete, true);
    assert.deepEqual(seqs(room), Array.from({ length: 124 }, (_, at) => at + 1));
  }
  assert.equal(seqs(third.room).at(-1), 124);
  assert.equal(sockets.made, 1);
});

test("one tab that closes a room leaves it to the others; the last one unsubscribes", async () => {
  const { tabs, sockets, write } = await open(2);
  const told = () => sockets.heard.filter(({ type }) => type === "unsubscribe").length;
  tabs[1].room.close();
  await settle();
  assert.equal(told(), 0);
  await write();
  assert.deepEqual(seqs(tabs[0].room), [1, 2, 3, 4]);
  tabs[0].room.close();
  await settle();
  assert.equal(told(), 1);
});

test("a leading tab that closes, or wants no socket, leaves the lead", async () => {
  const { clock, tabs, sockets } = await open(3);
  tabs[0].chat.close();
  await clock.advance(2000);
  assert.deepEqual(live(tabs), ["closed", "live", "live"]);
  const leader = tabs.find(({ leads }) => leads);
  const other = tabs.find((tab) => tab !== leader && tab !== tabs[0]);
  leader.chat.useSocket(false);
  await clock.advance(2000);
  assert.deepEqual([leader.status(), other.status()], ["polling", "live"]);
  leader.chat.useSocket(true);
  await clock.advance(2000);
  assert.deepEqual([leader.status(), other.status()], ["live", "live"]);
  assert.equal(sockets.open.size, 1);
});

test("the service's closes reach every tab: a suspension ends all, a revoked token its own tab only", async () => {
  const suspended = await open(3);
  for (const socket of suspended.sockets.open) socket.drop(4005);
  await suspended.clock.advance(1000);
  assert.deepEqual(live(suspended.tabs), ["closed", "closed", "closed"]);
  const revoked = await open(3);
  for (const socket of revoked.sockets.open) socket.drop(4004);
  await revoked.clock.advance(3000);
  assert.deepEqual(live(revoked.tabs), ["closed", "live", "live"]);
});

test("while the service takes no sockets every tab polls, and one attempt is made at a time", async () => {
  const { clock, tabs, sockets, service } = await open(3);
  sockets.refuse = true;
  for (const socket of sockets.open) socket.drop(1006);
  service.write();
  await clock.advance(5000);
  assert.deepEqual(live(tabs), ["polling", "polling", "polling"]);
  for (const { room } of tabs) assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  const before = sockets.made;
  await clock.advance(60_000);
  assert.ok(sockets.made - before <= 10, `${sockets.made - before} attempts of three tabs in a minute`);
  sockets.refuse = false;
  await clock.advance(21_000);
  assert.deepEqual(live(tabs), ["live", "live", "live"]);
  assert.equal(sockets.open.size, 1);
});

test("another user's tab has another socket, and so has one that wants its own", async () => {
  const { clock, sockets, tab } = browser();
  const ann = jwt(clock.now() + 3_600_000, "ann").split(".");
  const as = (sub) => [ann[0], Buffer.from(JSON.stringify({ sub })).toString("base64url"), "x"].join(".");
  await tab({ getToken: () => as("ann") });
  await tab({ getToken: () => as("ann") });
  assert.equal(sockets.open.size, 1);
  await tab({ getToken: () => as("ben") });
  assert.equal(sockets.open.size, 2);
  await tab({ getToken: () => as("ann"), tabs: false });
  assert.equal(sockets.open.size, 3);
});

test("a follower's token goes to no other tab, and one of another user ends it there", async () => {
  const { clock, channels, sockets, tab } = browser();
  const as = (sub, seconds) => ["x", Buffer.from(JSON.stringify({ sub, exp: Math.floor(clock.now() / 1000) + seconds })).toString("base64url"), "x"].join(".");
  await tab({ getToken: () => as("ann", 7200) });
  let user = "ann";
  const follower = await tab({ getToken: () => as(user, 300) });
  await clock.advance(245_000);
  assert.equal(follower.status(), "live");
  assert.equal(sockets.heard.filter(({ type }) => type === "auth").length, 0);
  assert.equal(channels.said.some((text) => text.includes("token")), false);
  user = "ben";
  await clock.advance(300_000);
  assert.equal(follower.status(), "closed");
  assert.equal(follower.chat.connection.getSnapshot().reason, "forbidden");
});

test("without locks or channels each tab has a socket of its own", async () => {
  const { sockets, tab } = browser();
  for (const lacking of [{ locks: undefined }, { openChannel: undefined }]) await tab(lacking);
  assert.equal(sockets.open.size, 2);
});

test("who it is not known of is not let in", async () => {
  const { clock, service, sockets, tab } = browser();
  service.before = ({ path }) => (path === "/api/session" ? problem(503, "unavailable") : undefined);
  const { status } = await tab();
  await clock.advance(1000);
  assert.equal(status(), "polling");
  assert.equal(sockets.made, 0);
});

/** The same numbers every time. */
function chance(seed) {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
}

test("however tabs freeze, thaw, die and come, nothing is lost or doubled, and all is in order", async () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const random = chance(seed);
    const { clock, service, sockets, tab, write, tabs } = await open(3, { random });
    const one = (list) => list[Math.floor(random() * list.length)];
    let alive = [...tabs];
    const sent = [];
    for (let step = 0; step < 40; step += 1) {
      const running = alive.filter(({ life }) => life.state === "running");
      const dice = random();
      if (dice < 0.3) await write();
      else if (dice < 0.6 && running.length > 0) {
        const author = one(running);
        sent.push({ author, text: `${seed}.${step}` });
        void author.room.send(`${seed}.${step}`);
      }
      else if (dice < 0.7 && running.length > 1) one(running).freeze();
      else if (dice < 0.8) for (const frozen of alive.filter(({ life }) => life.state === "frozen")) await frozen.thaw();
      else if (dice < 0.85 && alive.length > 2) {
        const gone = one(alive);
        alive = alive.filter((other) => other !== gone);
        await gone.die();
      } else if (dice < 0.9 && alive.length < 5) alive.push(await tab());
      else if (dice < 0.95) for (const socket of sockets.open) socket.drop(1006);
      await clock.advance(Math.floor(random() * 1500));
    }
    for (const { life, thaw } of alive) if (life.state === "frozen") await thaw();
    await clock.advance(60_000);
    const table = service.room().messages;
    assert.equal(new Set(table.map(({ id }) => id)).size, table.length);
    for (const author of alive) {
      const { room, status } = author;
      const texts = sent.filter((one) => one.author === author).map(({ text }) => text);
      assert.deepEqual(table.map(({ content }) => content).filter((text) => texts.includes(text)), texts, `seed ${seed}`);
      assert.equal(status(), "live", `seed ${seed}`);
      const { messages, complete, pending } = room.getSnapshot();
      assert.equal(complete, true);
      assert.deepEqual(pending, [], `seed ${seed}`);
      assert.deepEqual(messages.map(({ id }) => id), table.slice(-messages.length).map(({ id }) => id), `seed ${seed}`);
    }
    assert.equal(sockets.open.size, 1, `seed ${seed}`);
  }
});
