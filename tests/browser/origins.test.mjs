/**
 * Pages of other origins, in a real browser: one that is allowed polls as the client does and costs one preflight, one
 * that is not can read nothing and open nothing, cookie or not; and what a page shows of others is text.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { DEADLINE_MS, messagesOf, person, scratch, sees, startBrowser, startService, stranger } from "./support.mjs";

const SECRET = "the browser tests' own key, which is longer than 32 bytes";
const POLLS = 40;

let store, service, browser, front, allowed, evil;

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token as the application would sign it. */
function token(sub) {
  const text = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ sub, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

const listening = (server) =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`)));

/** A site with one empty page. */
async function site() {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<!doctype html><title>site</title>"));
  return { origin: await listening(server), close: () => server.close() };
}

/** A proxy in front of the service that counts what passes, as `METHOD path`. */
async function counting(port) {
  const counts = new Map();
  const server = createServer((asked, answer) => {
    const call = `${asked.method} ${asked.url}`;
    counts.set(call, (counts.get(call) ?? 0) + 1);
    const { method, url: path, headers } = asked;
    const passed = request({ host: "127.0.0.1", port, method, path, headers }, (found) => {
      answer.writeHead(found.statusCode, found.rawHeaders);
      found.pipe(answer);
    });
    passed.once("error", () => answer.destroy());
    asked.pipe(passed);
  });
  server.on("upgrade", (asked, socket, head) => {
    const passed = connect(port, "127.0.0.1", () => {
      const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
      for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
      passed.write(`${lines.join("\r\n")}\r\n\r\n`);
      passed.write(head);
      socket.pipe(passed).pipe(socket);
    });
    for (const end of [socket, passed]) end.on("error", () => [socket, passed].forEach((other) => other.destroy()));
  });
  return { url: await listening(server), counts, close: () => server.close() };
}

before(async () => {
  [store, browser, allowed, evil] = await Promise.all([scratch(), startBrowser(), site(), site()]);
  const env = { JWT_SECRET: SECRET, HOST: "127.0.0.1", SESSION_COOKIE: "sid", ALLOWED_ORIGINS: allowed.origin };
  service = await startService(store.database, 0, env);
  front = await counting(service.port);
  const made = await fetch(`${front.url}/api/chat/rooms`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token("ann")}` },
    body: JSON.stringify({ id: "garden", type: "GROUP" }),
  });
  assert.equal(made.status, 201);
});

after(async () => {
  await browser?.close();
  for (const server of [front, allowed, evil]) server?.close();
  await service?.stop();
  await store?.remove();
});

/** A page of a site, in a browser of its own that holds a session cookie of the service. */
async function pageOf({ origin }) {
  const context = await browser.newContext();
  await context.addCookies([{ name: "sid", value: token("ann"), url: front.url }]);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(origin);
  return page;
}

/** What a page's script gets of a call: status, headers and JSON, or that it may not know. */
function call(page, path, options = {}) {
  return page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        const headers = Object.fromEntries(answer.headers);
        return { status: answer.status, headers, json: await answer.json().catch(() => null) };
      } catch (error) {
        return { refused: error.name };
      }
    },
    [front.url + path, options],
  );
}

/** What comes first of a socket that a page's script opens. */
function opens(page, protocols) {
  return page.evaluate(
    ([url, protocols]) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, protocols);
        socket.onmessage = (event) => resolve(JSON.parse(event.data).type);
        socket.onclose = (event) => resolve(event.code);
      }),
    [`${front.url.replace("http", "ws")}/api/chat/ws`, protocols],
  );
}

test("an allowed page polls with a tag, reads what it needs, and is asked about once", async () => {
  const page = await pageOf(allowed);
  const path = "/api/chat/rooms/garden/meta";
  const headers = { authorization: `Bearer ${token("ann")}` };
  front.counts.clear();
  const first = await call(page, path, { headers });
  assert.equal(first.status, 200);
  assert.match(first.headers.etag ?? "", /^(W\/)?"/, "the script can read the ETag");
  assert.ok(first.headers["x-cache"] && first.headers["x-request-id"] && first.headers["server-timing"], "and the others");
  // As the client does it: without this, browsers pass by their memory of permissions along with their cache.
  const poll = { headers: { ...headers, "if-none-match": first.headers.etag }, cache: "force-cache" };
  for (let turn = 0; turn < POLLS; turn++) {
    assert.equal((await call(page, path, poll)).status, 304);
  }
  const written = await call(page, "/api/chat/rooms/garden/messages", {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ content: "from another origin" }),
  });
  assert.equal(written.status, 201);
  const moved = await call(page, path, poll);
  assert.deepEqual([moved.status, moved.json.lastSeq], [200, 2]);
  assert.equal(front.counts.get(`GET ${path}`), POLLS + 2);
  assert.equal(front.counts.get(`OPTIONS ${path}`), 1, "one preflight for all polls");
  assert.equal(front.counts.get("OPTIONS /api/chat/rooms/garden/messages"), 1);
  const refused = await call(page, "/api/chat/rooms/nowhere/meta", { headers });
  assert.deepEqual([refused.status, refused.json.code], [404, "room_not_found"], "a refusal can be read, too");
});

test("the client itself, on a page of another origin, is asked about once", async () => {
  const page = await pageOf(allowed);
  front.counts.clear();
  const path = "/api/chat/meta?rooms=garden";
  const answers = await page.evaluate(
    async ([url, path, bearer, polls]) => {
      const [{ Http }, { environment }] = await Promise.all(["http", "environment"].map((name) => import(`${url}/client/${name}.js`)));
      const token = { usesCookie: false, current: async () => bearer, renew: async () => null };
      const http = new Http({ baseUrl: url, env: environment({}), token, stats: { bytesIn: 0, bytesOut: 0 }, onUnauthenticated() {} });
      const statuses = [];
      let etag = null;
      for (let turn = 0; turn < polls; turn++) {
        const answer = await http.request("GET", path, { etag });
        etag = answer.etag ?? etag;
        statuses.push(answer.status);
      }
      for (let turn = 0; turn < 5; turn++) await http.request("POST", "/api/chat/rooms/garden/read", { body: {} });
      return statuses;
    },
    [front.url, path, token("ann"), POLLS],
  );
  assert.deepEqual(answers, [200, ...Array(POLLS - 1).fill(304)]);
  // The first poll has no tag yet, and passes by the browser's cache and its permissions.
  assert.ok(front.counts.get(`OPTIONS ${path}`) <= 2, `${front.counts.get(`OPTIONS ${path}`)} preflights for ${POLLS} polls`);
  assert.equal(front.counts.get("OPTIONS /api/chat/rooms/garden/read"), 1, "and one for all that is written there");
});

test("a page that is not allowed reads nothing and opens no socket, whatever token it has", async () => {
  const page = await pageOf(evil);
  const headers = { authorization: `Bearer ${token("ann")}` };
  for (const path of ["/api/session", "/api/chat/rooms/garden/meta", "/healthz", "/api/nothing"]) {
    assert.deepEqual(await call(page, path, { headers }), { refused: "TypeError" }, path);
    assert.deepEqual(await call(page, path), { refused: "TypeError" }, `${path} without a preflight`);
  }
  assert.equal(await opens(page, ["tidings.v1", `bearer.${token("ann")}`]), 1006);
  assert.equal(await opens(await pageOf(allowed), ["tidings.v1", `bearer.${token("ann")}`]), "welcome");
});

test("a cookie acts for its user on an allowed page and on no other", async () => {
  const [good, bad] = await Promise.all([pageOf(allowed), pageOf(evil)]);
  const mine = await call(good, "/api/session", { credentials: "include" });
  assert.equal(mine.json?.user?.id, "ann");
  assert.equal(await opens(good, ["tidings.v1"]), "welcome");
  assert.deepEqual(await call(bad, "/api/session", { credentials: "include" }), { refused: "TypeError" });
  assert.equal(await opens(bad, ["tidings.v1"]), 1006);
  const before = await call(good, "/api/chat/rooms/garden/meta", { credentials: "include" });
  // A form's content type needs no preflight, so this one arrives; it must do nothing there.
  for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
    const forged = { method: "POST", credentials: "include", mode: "no-cors", headers: { "content-type": type } };
    await call(bad, "/api/chat/rooms/garden/messages", { ...forged, body: JSON.stringify({ content: "forged" }) });
    await call(bad, "/api/chat/rooms/garden/read", { ...forged, body: "" });
  }
  const after = await call(good, "/api/chat/rooms/garden/meta", { credentials: "include" });
  assert.deepEqual(after.json, before.json, "nothing was written in ann's name");
});

test("what others are called and write is text on the built-in page", async () => {
  const data = await scratch();
  const demo = await startService(data.database);
  try {
    const ann = await person(browser, demo.url, "Ann");
    const dialogs = [];
    ann.page.on("dialog", (dialog) => dialogs.push(dialog.dismiss()));
    const hostile = [
      '<img src=x onerror="alert(1)">',
      "<svg onload=alert(1)>",
      "</script><script>alert(1)</script>",
      "javascript:alert(1)",
      "[x](javascript:alert(1))",
      "https://example.com/\" onmouseover=\"alert(1)",
    ];
    const eve = await stranger(demo.url, '<img src=x onerror="alert(2)">');
    for (const text of hostile) await eve.write(text);
    await sees(ann, hostile.at(-1));
    const shown = await messagesOf(ann);
    for (const text of hostile) assert.ok(shown.includes(text), `${text} is shown as it was written: ${shown}`);
    await ann.page.getByText('<img src=x onerror="alert(2)">').first().waitFor();
    const made = await ann.page.locator(".message").evaluateAll((rows) =>
      rows.flatMap((row) => [...row.querySelectorAll("script, svg[onload], img[onerror], a[href^='javascript']")].map((e) => e.outerHTML)),
    );
    assert.deepEqual(made, []);
    assert.deepEqual(dialogs, [], "nothing ran");
    assert.deepEqual(ann.complaints, [], "and nothing tried to");
  } finally {
    await demo.stop();
    await data.remove();
  }
});
