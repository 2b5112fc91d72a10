/** The page's part of a long room: bounded, and in its place whatever comes and goes around it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stretch } from "../../web/stretch.js";

const held = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => ({ seq: from + at }));
const ends = ({ messages }) => [messages[0]?.seq, messages.at(-1)?.seq];

test("at the end it is the tail, and follows", () => {
  const stretch = new Stretch();
  assert.deepEqual(stretch.of([]), { messages: [], earlier: false, later: false });
  assert.deepEqual(ends(stretch.of(held(1, 50))), [1, 50]);
  assert.deepEqual(ends(stretch.of(held(1, 1000))), [881, 1000]);
  assert.deepEqual(ends(stretch.of(held(1, 1001))), [882, 1001]);
  assert.equal(stretch.of(held(1, 1000)).earlier, true);
});

test("held, it begins where it began, and what comes in after it is bounded", () => {
  const stretch = new Stretch();
  stretch.hold(held(1, 1000));
  assert.deepEqual(ends(stretch.of(held(1, 1010))), [881, 1010]);
  assert.equal(stretch.isNewest, true);
  const shown = stretch.of(held(1, 5000));
  assert.deepEqual(ends(shown), [881, 1180]);
  assert.equal(shown.later, true);
  assert.equal(stretch.isNewest, false);
  stretch.follow();
  assert.deepEqual(ends(stretch.of(held(1, 5000))), [4881, 5000]);
});

test("reading back moves it, and drops what is far below", () => {
  const stretch = new Stretch();
  const all = held(1, 1000);
  let steps = 0;
  while (stretch.up(all)) {
    const { messages } = stretch.of(all);
    assert.ok(messages.length <= 300);
    assert.ok((steps += 1) < 100);
  }
  assert.deepEqual(ends(stretch.of(all)), [1, 300]);
  assert.equal(stretch.of(all).earlier, false);
});

test("a page of the past changes nothing until one goes up", () => {
  const stretch = new Stretch();
  stretch.hold(held(951, 1000));
  assert.deepEqual(ends(stretch.of(held(901, 1000))), [951, 1000]);
  assert.equal(stretch.up(held(901, 1000)), true);
  assert.deepEqual(ends(stretch.of(held(901, 1000))), [901, 1000]);
});

test("reading on moves it down until it reaches the newest", () => {
  const stretch = new Stretch();
  const all = held(1, 1000);
  while (stretch.up(all)) {
    // To the first message.
  }
  assert.equal(stretch.down(all), true);
  assert.deepEqual(ends(stretch.of(all)), [81, 380]);
  while (stretch.down(all)) assert.ok(stretch.of(all).messages.length <= 300);
  assert.equal(stretch.isNewest, true);
  assert.deepEqual(ends(stretch.of(all)), [701, 1000]);
});
