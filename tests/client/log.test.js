/** The log alone: pure data, so its rules are stated without a transport. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "../../client/log.js";
import { message } from "./support.js";

const page = (from, to, rev = to, more = {}) => ({
  messages: Array.from({ length: to - from + 1 }, (_, at) => message(from + at)),
  rev,
  history: "h1",
  ...more,
});

function begun() {
  const log = new Log();
  log.takeNewest(page(6, 10, 10, { hasMore: true }));
  return log;
}

test("a newest page begins a log, and does not continue one", () => {
  const log = begun();
  assert.equal(log.rev, 10);
  log.takeNewest(page(11, 15));
  assert.equal(log.rev, 10, "an edit of 6 between 10 and 15 would be missed");
  assert.equal(log.complete, false);
});

test("changes after a cursor further on than one's own do not move it", () => {
  const log = begun();
  log.takeChanges(12, page(13, 14));
  assert.equal(log.rev, 10);
  assert.equal(log.complete, false);
  log.takeChanges(10, page(11, 14));
  assert.equal(log.rev, 14);
  assert.equal(log.complete, true);
});

test("changes asked for from further back are fine, and never move it back", () => {
  const log = begun();
  log.takeChanges(4, page(5, 8));
  assert.equal(log.rev, 10);
  log.takeChanges(4, page(5, 12));
  assert.equal(log.rev, 12);
});

test("a page of the past joins only where it was asked for", () => {
  const log = begun();
  log.takeEarlier(6, page(1, 5, 99, { hasMore: false }));
  assert.deepEqual(log.messages.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(log.rev, 10);
  const other = begun();
  other.takeEarlier(4, page(1, 3, 99, { hasMore: false }));
  assert.deepEqual(other.messages.map(({ seq }) => seq), [6, 7, 8, 9, 10], "no hole is shown");
});

test("whatever the order of arrival, the list is by seq and each once", () => {
  const arrivals = [4, 2, 5, 2, 1, 3, 5, 4].map((seq) => message(seq));
  const log = new Log();
  log.takeNewest({ messages: [], rev: 0, history: "h1" });
  for (const arrived of arrivals) log.merge([arrived]);
  assert.deepEqual(log.messages.map(({ seq }) => seq), [1, 2, 3, 4, 5]);
});

test("letting go of earlier messages keeps the cursor, and they can be had again", () => {
  const log = new Log();
  log.takeNewest({ messages: [4, 5, 6, 7].map((seq) => message(seq)), rev: 7, history: "h1" });
  assert.equal(log.keepNewest(4), false);
  assert.equal(log.keepNewest(2), true);
  assert.deepEqual(log.messages.map(({ seq }) => seq), [6, 7]);
  assert.deepEqual([log.rev, log.complete, log.hasMore, log.floor], [7, true, true, 6]);
  assert.equal(log.get("m5"), undefined, "nothing of them is left in memory");
  log.takeEarlier(6, { messages: [message(5)], rev: 7, hasMore: true });
  assert.deepEqual(log.messages.map(({ seq }) => seq), [5, 6, 7]);
});

test("what is not kept any more is not held either, however late it comes", () => {
  const log = begun();
  log.trim(8);
  assert.deepEqual([log.messages.map(({ seq }) => seq), log.floor, log.hasMore], [[8, 9, 10], 8, false]);
  log.takeEarlier(8, page(1, 7, 10, { hasMore: false }));
  log.merge([message(3, { rev: 11 })]);
  assert.equal(log.get("m3"), undefined);
  assert.deepEqual([log.messages.length, log.floor], [3, 8]);
  log.trim(5);
  assert.equal(log.oldest, 8, "it never begins earlier again");
});
