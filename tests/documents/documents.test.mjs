/** What others make of the documents: their standards hold them for valid, and the example in docs/API.md compiles against
 *  the types that are made of one, and works. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const binary = resolve(here("../.."), process.env.TIDINGS_BIN ?? "target/debug/tidings");
const python = here("../../target/python/bin/python");
const DEADLINE_MS = 20_000;

let folder, child, url;

before(async () => {
  for (const program of [binary, python]) assert.ok(existsSync(program), `${program} is not there; tests/run makes it`);
  folder = await mkdtemp(join(tmpdir(), "tidings-documents-"));
  await symlink(here("node_modules"), join(folder, "node_modules"));
  const flags = ["--port", "0", "--host", "127.0.0.1", "--database-url", `sqlite:${folder}/tidings.db`];
  child = spawn(binary, flags, { stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((found, fail) => {
    const timer = setTimeout(() => fail(new Error("the service did not say where it listens")), DEADLINE_MS);
    let said = "";
    child.stdout.on("data", (data) => {
      const [place] = (said += data).match(/http:\/\/127\.0\.0\.1:\d+/) ?? [];
      if (place) found(place), clearTimeout(timer);
    });
    child.once("exit", (code) => fail(new Error(`the service ended with ${code}`)));
  });
  for (const name of ["openapi.json", "asyncapi.json"]) {
    await writeFile(join(folder, name), await (await fetch(`${url}/${name}`)).text());
  }
});

after(async () => {
  if (child?.exitCode === null) {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGINT");
    await ended;
  }
  if (folder) await rm(folder, { recursive: true, force: true });
});

const complaints = (command) => command.then(() => "", (error) => error.stdout + error.stderr);
const tool = (path, ...more) => run(process.execPath, [here(`node_modules/${path}`), ...more], { cwd: folder });

/** What TypeScript says of a program beside the types of the document. */
function compile(program) {
  const options = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--skipLibCheck"];
  return complaints(writeFile(join(folder, "say.ts"), program).then(() => tool("typescript/bin/tsc", ...options, "say.ts")));
}

test("both are what they say they are, by their standards", async () => {
  assert.equal(await complaints(run(python, [here("check.py"), "valid", folder])), "");
  const wrong = JSON.parse(await readFile(join(folder, "asyncapi.json"), "utf8"));
  wrong.channels.socket.address = 5;
  const spoilt = await mkdtemp(join(tmpdir(), "tidings-documents-"));
  await writeFile(join(spoilt, "asyncapi.json"), JSON.stringify(wrong));
  const { info, ...nameless } = JSON.parse(await readFile(join(folder, "openapi.json"), "utf8"));
  await writeFile(join(spoilt, "openapi.json"), JSON.stringify(nameless));
  const found = await complaints(run(python, [here("check.py"), "valid", spoilt]));
  await rm(spoilt, { recursive: true, force: true });
  assert.match(found, /openapi\.json: /, "what is no OpenAPI is taken for it");
  assert.match(found, /asyncapi\.json: at \$\.channels\.socket/, "what is no AsyncAPI is taken for it");
});

test("the example of docs/API.md compiles against the document's types and works", async () => {
  const [, example] = (await readFile(here("../../docs/API.md"), "utf8")).match(/^```ts\n(.*?)^```$/ms) ?? [];
  assert.ok(example, "docs/API.md has an example in TypeScript");
  await tool("openapi-typescript/bin/cli.js", `${url}/openapi.json`, "-o", "tidings.d.ts");
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  assert.equal(await compile(example), "");
  const wrong = example.replace("content }", "text: content }");
  assert.notEqual(wrong, example);
  assert.match(await compile(wrong), /error TS2353.*'text' does not exist/s, "any body is taken");
  assert.match(await compile(`${example}\nexport const no = (m: Message) => m.nothing;\n`), /'nothing' does not exist/);
  assert.equal(await compile(example), "");
  const person = await (await fetch(`${url}/api/demo/session`, {
    method: "POST", headers: { "content-type": "application/json" }, body: '{"name": "Ann"}',
  })).json();
  const { say } = await import(pathToFileURL(join(folder, "say.js")));
  await assert.rejects(say(url, person.token, "lobby", "Hello"), /^Error: not_a_member: join the room first$/);
  const authorization = `Bearer ${person.token}`;
  const joined = await fetch(`${url}/api/chat/rooms/lobby/members/${person.user.id}`, { method: "PUT", headers: { authorization } });
  assert.equal(joined.status, 200);
  const message = await say(url, person.token, "lobby", "Hello");
  assert.equal(message.content, "Hello");
  assert.equal(message.senderId, person.user.id);
});
