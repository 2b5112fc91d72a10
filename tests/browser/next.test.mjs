/**
 * The recipes of docs/NEXTJS.md in a real browser. The application is played by a small server, its sessions are made by
 * the libraries themselves: NextAuth v4 and Auth.js v5. Cookies are the browser's business, which is why it is there.
 */
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { encode as encodeV5 } from "@auth/core/jwt";
import { SignJWT } from "jose";
import nextAuth from "next-auth/jwt";
import { DEADLINE_MS, scratch, startBrowser, startService } from "./support.mjs";

const AUTH_SECRET = "the secret of the application, which is longer than 32 bytes";
const JWT_SECRET = "the chat's own secret, which the application's backend knows, too";
const V4 = "next-auth.session-token";
const V5 = "authjs.session-token";

let browser, application, store, beside, behind, rewritten, unnamed;

/**
 * The application: a login, a page that chats, a route that mints tokens, and two ways to what is behind: `/tidings`, as a
 * proxy passes it on, and `/rewritten` and `/unnamed`, as `rewrites()` of Next.js does: with the `Host` of where it goes to, and
 * the `Origin` of where it came from.
 */
async function startApplication() {
  const server = createServer((asked, answer) => void handle(asked, answer).catch((error) => answer.destroy(error)));
  server.on("upgrade", pass);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, close: () => server.closeAllConnections() ?? server.close() };
}

async function handle(asked, answer) {
  const url = new URL(asked.url, "http://app.example.test");
  if (way(asked) !== undefined) return forward(asked, answer);
  if (url.pathname === "/login") {
    const { value, name, domain } = await session(url.searchParams);
    const cookie = `${name}=${value}; Path=/; HttpOnly; SameSite=Lax${domain ? `; Domain=${domain}` : ""}`;
    return answer.setHeader("set-cookie", cookie).end("welcome");
  }
  if (url.pathname === "/api/chat-token") return chatToken(asked, answer);
  answer.setHeader("content-type", "text/html").end("<!doctype html><title>the application</title>");
}

/** What the login of the library would set. */
async function session(asked) {
  const token = { sub: asked.get("user"), name: "Ann Adams", role: "PARTNER", partnerId: "p7", partnerStatus: "APPROVED" };
  const domain = asked.get("domain");
  if (asked.get("version") === "4") return { name: V4, domain, value: await nextAuth.encode({ token, secret: AUTH_SECRET }) };
  return { name: V5, domain, value: await encodeV5({ token, secret: AUTH_SECRET, salt: V5 }) };
}

/** The third recipe's route: who is signed in gets five minutes of chat. */
async function chatToken(asked, answer) {
  const cookies = Object.fromEntries((asked.headers.cookie ?? "").split("; ").map((pair) => pair.split("=")));
  const token = await nextAuth.getToken({ req: { cookies, headers: asked.headers }, secret: AUTH_SECRET });
  if (token === null) return answer.writeHead(401).end();
  const { sub, name, role } = token;
  const jwt = new SignJWT({ name, role }).setProtectedHeader({ alg: "HS256" }).setSubject(sub);
  const minted = await jwt.setIssuedAt().setExpirationTime("5m").sign(new TextEncoder().encode(JWT_SECRET));
  answer.setHeader("content-type", "application/json").end(JSON.stringify({ token: minted }));
}

/** Where a call goes to, and with which headers. */
function way({ url, headers, rawHeaders }) {
  const [, first] = url.split(/[/?]/);
  if (first === "tidings") return { port: behind.port, headers: rawHeaders };
  const to = { rewritten, unnamed }[first];
  if (to === undefined) return undefined;
  const host = `127.0.0.1:${to.port}`;
  const kept = rawHeaders.map((text, at) => (at % 2 === 1 && rawHeaders[at - 1].toLowerCase() === "host" ? host : text));
  return { port: to.port, headers: [...kept, "x-forwarded-host", headers.host] };
}

function forward(asked, answer) {
  const { port, headers } = way(asked);
  const passed = request({ host: "127.0.0.1", port, method: asked.method, path: asked.url, headers }, (found) => {
    answer.writeHead(found.statusCode, found.rawHeaders);
    found.pipe(answer);
  });
  passed.once("error", () => answer.destroy());
  asked.pipe(passed);
}

function pass(asked, socket, head) {
  const { port, headers } = way(asked);
  const passed = connect(port, "127.0.0.1", () => {
    const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
    for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
    passed.write(`${lines.join("\r\n")}\r\n\r\n`);
    passed.write(head);
    socket.pipe(passed).pipe(socket);
  });
  for (const end of [socket, passed]) end.on("error", () => [socket, passed].forEach((other) => other.destroy()));
}

before(async () => {
  application = await startApplication();
  store = await Promise.all(Array.from({ length: 4 }, scratch));
  const origin = `http://app.example.test:${application.port}`;
  const env = { AUTH_SECRET, JWT_SECRET, HOST: "127.0.0.1" };
  behind = await startService(store[0].database, 0, { ...env, BASE_PATH: "/tidings" });
  beside = await startService(store[1].database, 0, { ...env, ALLOWED_ORIGINS: origin });
  rewritten = await startService(store[2].database, 0, { ...env, BASE_PATH: "/rewritten", ALLOWED_ORIGINS: origin });
  unnamed = await startService(store[3].database, 0, { ...env, BASE_PATH: "/unnamed" });
  browser = await startBrowser(["--host-resolver-rules=MAP *.example.test 127.0.0.1"]);
});

after(async () => {
  await browser?.close();
  await Promise.all([behind, beside, rewritten, unnamed].map((service) => service?.stop()));
  application?.close();
  await Promise.all((store ?? []).map(({ remove }) => remove()));
});

/** Someone who has signed in, at the application's page. */
async function signedIn(query) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const frames = [];
  page.on("websocket", (socket) => frames.push(socket.url()));
  await page.goto(`http://app.example.test:${application.port}/login?${query}`);
  await page.goto(`http://app.example.test:${application.port}/`);
  assert.equal(await page.evaluate(() => document.cookie), "", "no script can read the session");
  return { page, frames, leave: () => context.close() };
}

/** Chats from the page: in by whatever `options` say, a room, a message, and how it went. */
function chat(page, { client, options, token }) {
  return page.evaluate(
    async ({ client, options, token }) => {
      const { connect } = await import(client);
      const getToken = token && (async () => (await (await fetch(token)).json()).token);
      const made = connect({ ...options, ...(getToken && { getToken }) });
      const until = (of, fits) =>
        new Promise((resolve) => {
          const look = () => fits(of.getSnapshot()) && resolve(of.getSnapshot());
          of.subscribe(look);
          look();
        });
      const { status } = await until(made.connection, ({ status }) => status === "live" || status === "closed");
      const session = await made.session();
      const { id } = await made.createRoom({ type: "GROUP", title: "Garden" });
      const room = made.room(id);
      await room.send("hello");
      const { messages } = await until(room, ({ messages }) => messages.some(({ content }) => content === "hello"));
      made.close();
      return { status, session, message: messages.at(-1) };
    },
    { client, options, token },
  );
}

function assertAnn({ status, session, message }, user) {
  assert.equal(status, "live");
  assert.deepEqual([session.user.id, session.user.name, session.role], [user, "Ann Adams", "PARTNER"]);
  assert.deepEqual([message.content, message.senderId, message.senderName], ["hello", user, "Ann Adams"]);
}

for (const version of [4, 5]) {
  test(`same origin, under a base path: the session of version ${version} speaks for itself`, async () => {
    const { page, frames, leave } = await signedIn(`version=${version}&user=same${version}`);
    const done = await chat(page, { client: "/tidings/client/tidings.js", options: { baseUrl: "/tidings" } });
    assertAnn(done, `same${version}`);
    assert.deepEqual(done.session.partner, { id: "p7", status: "APPROVED" });
    assert.ok(frames.every((url) => url.includes("/tidings/api/chat/ws")), frames);
    await leave();
  });

  test(`a sister host, by a cookie of the domain, version ${version}`, async () => {
    const { page, leave } = await signedIn(`version=${version}&user=sister${version}&domain=example.test`);
    const baseUrl = `http://chat.example.test:${beside.port}`;
    assertAnn(await chat(page, { client: `${baseUrl}/client/tidings.js`, options: { baseUrl } }), `sister${version}`);
    await leave();
  });
}

test("behind rewrites(), with the application named: the session speaks for itself, over a socket", async () => {
  const { page, frames, leave } = await signedIn("version=5&user=rewritten");
  const done = await chat(page, { client: "/rewritten/client/tidings.js", options: { baseUrl: "/rewritten" } });
  assertAnn(done, "rewritten");
  assert.ok(frames.length > 0 && frames.every((url) => url.includes("/rewritten/api/chat/ws")), frames);
  await leave();
});

test("behind rewrites(), without that, one can read and not write", async () => {
  const { page, leave } = await signedIn("version=5&user=unnamed");
  const answers = await page.evaluate(async () => {
    const { status } = await fetch("/unnamed/api/session");
    const body = JSON.stringify({ type: "GROUP", title: "Garden" });
    const headers = { "content-type": "application/json" };
    const refused = await fetch("/unnamed/api/chat/rooms", { method: "POST", headers, body });
    return [status, refused.status, (await refused.json()).code];
  });
  assert.deepEqual(answers, [200, 403, "forbidden"]);
  await leave();
});

test("another host, by a token of five minutes that the application mints", async () => {
  const { page, leave } = await signedIn("version=4&user=minted");
  const baseUrl = `http://chat.elsewhere.example.test:${beside.port}`;
  const done = await chat(page, { client: `${baseUrl}/client/tidings.js`, options: { baseUrl }, token: "/api/chat-token" });
  assertAnn(done, "minted");
  const left = Date.parse(done.session.expiresAt) - Date.now();
  assert.ok(left > 0 && left <= 300_000, `${left} ms`);
  await leave();
});

test("without the domain the sister host gets no cookie, and says so", async () => {
  const { page, leave } = await signedIn("version=5&user=alone");
  const url = `http://chat.example.test:${beside.port}/api/session`;
  const status = await page.evaluate(async (url) => (await fetch(url, { credentials: "include" })).status, url);
  assert.equal(status, 401);
  await leave();
});
