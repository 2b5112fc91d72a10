/** What the client is as a package: importable anywhere, without dependencies, in files of a readable size. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

const folder = new URL("../../client/", import.meta.url);

test("importing it runs nothing and needs no browser", async () => {
  assert.equal(globalThis.window, undefined);
  const { connect, ChatError } = await import("../../client/tidings.js");
  assert.equal(typeof connect, "function");
  assert.equal(typeof ChatError, "function");
});

test("it has no dependency, and no file is longer than 400 lines", async () => {
  const manifest = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  for (const name of (await readdir(folder, { recursive: true })).filter((file) => /^(?!node_modules).*\.js$/.test(file))) {
    const text = await readFile(new URL(name, folder), "utf8");
    assert.ok(text.startsWith("// @ts-check\n"), `${name} is type-checked`);
    assert.ok(text.split("\n").length <= 401, `${name} is too long`);
    // React is there where its hooks are used.
    const hooks = name === "react.js" || name.startsWith("compat/");
    for (const [, from] of text.matchAll(/from "([^"]+)"/g)) {
      assert.match(from, hooks ? /^(?:\.\.?\/|react$)/ : /^\.\//, `${name} imports ${from}`);
    }
  }
});
