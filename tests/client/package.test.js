/** The client as others get it: packed, installed in a fresh folder, type-checked there, imported without a browser. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const client = fileURLToPath(new URL("../../client/", import.meta.url));
const modules = fileURLToPath(new URL("node_modules/", import.meta.url));
const tsc = join(modules, "typescript/bin/tsc");
const isSource = (path) => !path.includes("node_modules") && !path.endsWith(".d.ts");

let folder, fresh;
const node = (...args) => run(process.execPath, args, { cwd: fresh }).catch((error) => assert.fail(error.stdout + error.stderr));

/** Packed in a copy, so that the declarations made on the way are left nowhere. */
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidings-package-"));
  fresh = join(folder, "fresh");
  const copy = join(folder, "client");
  await cp(client, copy, { recursive: true, filter: isSource });
  await symlink(modules, join(copy, "node_modules"));
  const packed = await run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: copy });
  await mkdir(fresh);
  await writeFile(join(fresh, "package.json"), JSON.stringify({ name: "fresh", type: "module", private: true }));
  const tarball = join(folder, packed.stdout.trim().split("\n").at(-1));
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: fresh });
});

after(() => rm(folder, { recursive: true, force: true }));

test("the package holds the modules, a declaration of each, and nothing else", async () => {
  const names = await readdir(join(fresh, "node_modules/tidings"), { recursive: true });
  const modules = (await readdir(client, { recursive: true })).filter((name) => /^(?!node_modules).*\.js$/.test(name));
  const expected = modules.flatMap((name) => [name, name.replace(/\.js$/, ".d.ts")]).concat("package.json").sort();
  assert.deepEqual(names.filter((name) => name.includes(".")).sort(), expected);
  assert.deepEqual(await readdir(join(fresh, "node_modules")).then((found) => found.filter((name) => name[0] !== ".")), ["tidings"]);
});

test("it imports in Node.js, by its name, without a browser", async () => {
  const { stdout } = await node("--input-type=module", "-e", `
    import { connect, ChatError } from "tidings";
    console.log(typeof connect, typeof ChatError, typeof globalThis.document);
  `);
  assert.equal(stdout.trim(), "function function undefined");
});

const GOOD = `
import { connect, ChatError } from "tidings";
import type { Chat, ConnectionSnapshot, GetToken, Message, Pending, Room, RoomInfo, RoomSnapshot, Session, Stats } from "tidings";

const getToken: GetToken = async ({ renew }) => (renew ? "new" : "held");
const chat: Chat = connect({ baseUrl: "https://chat.example", wsUrl: "wss://chat.example/api/chat/ws", getToken });
const room: Room = chat.room("r");
const stop: () => void = room.subscribe(() => {
  const { messages, pending, rev, revSince, complete, online, onlineCount }: RoomSnapshot = room.getSnapshot();
  const newest: Message | undefined = messages.at(-1);
  const mark: "FLAGGED" | null | undefined = newest?.moderation;
  const since: Date | null = revSince === null ? null : new Date(revSince);
  const failed: Pending[] = pending.filter(({ state }) => state === "failed");
  const resets: string | undefined = failed[0]?.error?.details.resetsAt;
  const waiting: number = pending.reduce((sum, { attempts }) => sum + attempts, 0);
  console.log(mark, since, resets, rev, complete, waiting, online, onlineCount);
});
const { status, reason }: ConnectionSnapshot = chat.connection.getSnapshot();
const words: Record<typeof status, string> = { connecting: "", live: "", polling: "", offline: "", closed: reason ?? "" };
const sent: Pending = await room.send({ content: "hello", metadata: { mood: "keen" } });
const info: RoomInfo = await chat.createRoom({ type: "GROUP", title: "Garden" });
const slow: number = info.slowModeSeconds;
const quota: string | null = info.quota;
const { bytesIn }: Stats = chat.stats.getSnapshot();
const given: boolean = room.discard(sent.id);
const session: Session = await chat.session();
const partner: string | undefined = session.partner?.id;
try {
  await room.edit("m", "better");
} catch (error) {
  if (error instanceof ChatError && error.code === "slow_mode") console.log(error.retryAfterMs);
}
console.log(words, sent, slow, quota, partner, bytesIn, given);
stop();
`;
const BAD = `
import { connect } from "tidings";
connect({ baseURL: "https://chat.example" });
const text: string = connect().room("r").getSnapshot().rev;
`;

test("a fresh TypeScript project type-checks against it, strictly, and is told of mistakes", async () => {
  const compilerOptions = { strict: true, noEmit: true, module: "nodenext", target: "es2022", types: [], skipLibCheck: false };
  await writeFile(join(fresh, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["good.ts"] }));
  await writeFile(join(fresh, "good.ts"), GOOD);
  await writeFile(join(fresh, "bad.ts"), BAD);
  const strictly = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--ignoreConfig", "bad.ts"];
  const [, mistakes] = await Promise.all([
    node(tsc, "-p", "."),
    run(process.execPath, [tsc, ...strictly], { cwd: fresh }).then(() => assert.fail("no mistake was found"), (error) => error.stdout),
  ]);
  assert.match(mistakes, /baseURL/);
  assert.match(mistakes, /'number \| null' is not assignable to type 'string'/);
});
