/** The held poll: asked for where it works, given up at once where it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { polledRoom, problem, seqs, settle } from "./support.js";

const TEN_MINUTES = 10 * 60_000;

/** A polling chat in front of a service that holds its answers, the first of them on its way. */
async function heldRoom() {
  const made = await polledRoom(3, { hold: true });
  made.service.clock = made.clock;
  await made.clock.advance(1000);
  return made;
}

const last = ({ service }) => service.metas.at(-1);

test("once there is a state to wait beyond, the service holds the answer", async () => {
  const made = await heldRoom();
  const { clock, service } = made;
  assert.equal(last(made).url.searchParams.get("wait"), "25");
  assert.notEqual(last(made).headers["if-none-match"], undefined);
  const before = service.metas.length;
  await clock.advance(24_999);
  assert.equal(service.metas.length, before, "nothing is asked while it holds");
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1, "and it is asked again at once");
  assert.equal(last(made).url.searchParams.get("wait"), "25");
});

test("news end the hold at once, and a busy room is not asked about more than once a second", async () => {
  const made = await heldRoom();
  const { clock, room, service } = made;
  await clock.advance(10_000);
  service.write();
  await settle();
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  await clock.advance(0);
  const before = service.metas.length;
  service.write();
  await settle();
  assert.deepEqual(seqs(room), [1, 2, 3, 4, 5]);
  await clock.advance(999);
  assert.equal(service.metas.length, before);
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1);
});

test("a held poll is the one in flight, and gives way to whatever hurries", async () => {
  const made = await heldRoom();
  const { chat, service, visibility } = made;
  const before = service.metas.length;
  await visibility.show();
  assert.equal(service.metas.length, before + 1);
  assert.equal(last(made).url.searchParams.has("wait"), false, "who comes back wants to know now");
  chat.room("s");
  await settle();
  assert.equal(service.mostMetaInFlight, 1);
});

test("a hidden page is not worth a held request", async () => {
  const made = await heldRoom();
  const { clock, service, visibility } = made;
  visibility.isHidden = true;
  await clock.advance(25_000);
  const before = service.metas.length;
  await clock.advance(14_999);
  assert.equal(service.metas.length, before);
  await clock.advance(1);
  assert.equal(last(made).url.searchParams.has("wait"), false);
  await visibility.show();
  assert.equal(service.metas.length, before + 2);
  assert.equal(last(made).url.searchParams.has("wait"), false, "and who looks again is told at once");
});

test("what is not held is polled plainly for ten minutes", async () => {
  const made = await polledRoom(3, { hold: true });
  const { clock, service } = made;
  await clock.advance(1000);
  assert.equal(last(made).url.searchParams.has("wait"), true);
  const before = service.metas.length;
  await clock.advance(2499);
  assert.equal(service.metas.length, before);
  await clock.advance(1);
  assert.equal(service.metas.length, before + 1);
  assert.equal(last(made).url.searchParams.has("wait"), false);
  await clock.advance(TEN_MINUTES);
  assert.ok(service.metas.some(({ url }, at) => at > before && url.searchParams.has("wait")), "then it is tried again");
});

test("a 200 that tells what is known already was not held either", async () => {
  const made = await polledRoom(3, { hold: true });
  const { clock, service } = made;
  const etag = '"same"';
  service.before = ({ path }) =>
    path.includes("/meta") ? { headers: { etag }, body: { rooms: [], gone: [], history: "h1" } } : undefined;
  await clock.advance(10_000);
  assert.equal(service.metas.filter(({ url }) => url.searchParams.has("wait")).length, 2, "with the tag of before, and with its own");
});

test("a proxy that cuts held requests is met with plain polls, after the first failure", async () => {
  const made = await polledRoom(3, { hold: true });
  const { clock, service, status } = made;
  service.before = ({ url }) => (url.searchParams.has("wait") ? problem(504, "http_504") : undefined);
  await clock.advance(60_000);
  assert.equal(service.metas.filter(({ url }) => url.searchParams.has("wait")).length, 1);
  assert.equal(status(), "polling");
});

/** Two polls held to their end, and the third on its way. */
async function provenRoom() {
  const made = await heldRoom();
  await made.clock.advance(50_000);
  assert.equal(last(made).url.searchParams.has("wait"), true);
  return made;
}

const heldPolls = ({ service }) => service.metas.filter(({ url }) => url.searchParams.has("wait")).length;

test("where polls have been held, an instance that lets go of one is no proof against it", async () => {
  const made = await provenRoom();
  const { clock, service, room } = made;
  // It stops: what it holds is answered at once, as it stands.
  service.letGo();
  await settle();
  const before = heldPolls(made);
  await clock.advance(2500);
  assert.equal(last(made).url.searchParams.has("wait"), false, "the next one asks plainly");
  await clock.advance(1000);
  assert.equal(heldPolls(made), before + 1, "and then it is held again");
  service.write();
  await settle();
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
});

test("a restart under a held poll is no proof either; twice in a row is", async () => {
  const made = await provenRoom();
  const { clock, service, status } = made;
  service.before = ({ url }) => (url.searchParams.has("wait") ? problem(502, "http_502") : undefined);
  await clock.advance(25_000);
  await clock.advance(60_000);
  assert.equal(status(), "polling");
  const refused = heldPolls(made);
  await clock.advance(TEN_MINUTES / 2);
  assert.equal(heldPolls(made), refused, "plain polls from the second on");
});

test("an answer that never comes is given up a while after it should have", async () => {
  const made = await heldRoom();
  const { clock, service, status } = made;
  service.hold();
  await clock.advance(39_999);
  assert.equal(status(), "polling");
  await clock.advance(1);
  assert.equal(status(), "offline");
});

test("an application may forbid it", async () => {
  const made = await polledRoom(3, { hold: false });
  made.service.clock = made.clock;
  await made.clock.advance(60_000);
  assert.equal(made.service.metas.some(({ url }) => url.searchParams.has("wait")), false);
});
