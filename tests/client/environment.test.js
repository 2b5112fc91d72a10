/** What the client takes from a page: when it counts as back in front. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { environment } from "../../client/environment.js";

let page;

beforeEach(() => {
  page = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
});

afterEach(() => {
  for (const name of ["document", "addEventListener", "removeEventListener"]) delete globalThis[name];
});

const say = (target, name) => target().dispatchEvent(new Event(name));

for (const [name, target] of [
  ["visibilitychange", () => document],
  ["resume", () => document],
  ["online", () => page],
  ["pageshow", () => page],
]) {
  test(`a page wakes by ${name}, and hears of it no more when it does not listen`, () => {
    let woken = 0;
    const stop = environment({}).visibility.subscribe(() => (woken += 1));
    say(target, name);
    assert.equal(woken, 1);
    stop();
    say(target, name);
    assert.equal(woken, 1);
  });
}

test("a page that goes to the back does not wake", () => {
  let woken = 0;
  environment({}).visibility.subscribe(() => (woken += 1));
  document.hidden = true;
  say(() => document, "visibilitychange");
  assert.equal(woken, 0);
});
