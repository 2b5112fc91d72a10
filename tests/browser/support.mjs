/**
 * Starts the real service and a real browser, and drives the page as a person would.
 * Whatever is started here is ended here, and nothing else.
 */
import { spawn } from "node:child_process";
import { appendFileSync, createWriteStream, existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = fileURLToPath(new URL("../../", import.meta.url));
const binary = path.resolve(root, process.env.TIDINGS_BIN ?? "target/debug/tidings");
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** How long anything may take before it counts as not happening. */
export const DEADLINE_MS = 20_000;

/** A folder for the database, removed at the end. */
export async function scratch() {
  const folder = await mkdtemp(path.join(tmpdir(), "tidings-browser-"));
  return { database: `sqlite:${folder}/tidings.db`, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Where tests/run looks for what no log may hold; nobody does if it is not set. */
const logs = process.env.TIDINGS_TEST_LOGS;

/** Nobody may find this in any log. Anything shorter may stand there by chance. */
function keepSecret(secret) {
  if (logs && secret.length >= 12) appendFileSync(`${logs}/${process.pid}.secrets`, `${secret}\n`);
}

/** Nor this text: its longest part that a log would show as it is. */
function keepText(text) {
  const parts = text.split(/[^ -~]|["\\\d]/);
  keepSecret(parts.reduce((one, other) => (other.length > one.length ? other : one)).trim());
}

function keepLog(child) {
  if (logs) child.stderr.pipe(createWriteStream(`${logs}/${child.pid}.log`, { flags: "a" }));
}

/** Starts the service, alone and without configuration; resolves once it says where it listens. */
export async function startService(database, port = 0, env = {}) {
  if (!existsSync(binary)) throw new Error(`there is no ${binary}; build it, or name it in TIDINGS_BIN`);
  const child = spawn(binary, ["--port", String(port), "--database-url", database], {
    env: { ...process.env, ...(logs && { RUST_LOG: "debug" }), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  keepLog(child);
  let said = "";
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the service did not say where it listens:\n${said}`)), DEADLINE_MS);
    child.stderr.on("data", (data) => (said += data));
    child.stdout.on("data", (data) => {
      said += data;
      const found = said.match(/http:\/\/127\.0\.0\.1:(\d+)/);
      if (!found) return;
      clearTimeout(timer);
      resolve(found[0]);
    });
    ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`the service ended with ${code}:\n${said}`));
    });
    child.once("error", reject);
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await ended;
  };
  return { url, port: Number(new URL(url).port), stop };
}

/** @param {string[]} [more] further arguments */
export function startBrowser(more = []) {
  if (!existsSync(browserPath)) throw new Error(`there is no ${browserPath}; install Chromium, or name it in CHROMIUM`);
  return chromium.launch({
    executablePath: browserPath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}

/** A person at the page: their own browser context, and all the page complained of. */
export async function person(browser, url, name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  /** @type {string[]} */
  const complaints = [];
  const urls = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    urls.push(request.url());
    // What makes it a token is its last part.
    keepSecret(/^Bearer .*\.(.*)$/.exec(request.headers().authorization ?? "")?.[1] ?? "");
  });
  page.on("websocket", (socket) => urls.push(socket.url()));
  await page.goto(`${url}/`);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Come in" }).click();
  await page.getByRole("heading", { name: "Lobby", level: 1 }).waitFor();
  return { name, page, context, complaints, urls };
}

/** Until the page says that messages travel this way. */
export async function transportIs({ page }, status) {
  await page.locator(`.transport .dot[data-status="${status}"]`).waitFor({ state: "attached" });
}

export async function say({ page }, text) {
  keepText(text);
  await page.getByRole("textbox", { name: "Write a message" }).fill(text);
  await page.keyboard.press("Enter");
}

/** Until the page shows the message as one the service has. */
export async function sees({ page }, text) {
  await page.locator(".message:not(.pending) .bubble", { hasText: text }).first().waitFor();
}

/** What the page shows, in its order. */
export function messagesOf({ page }) {
  return page.locator(".message:not(.pending) .bubble").allInnerTexts();
}

/** Someone without a page: a token, and a place in the lobby. */
export async function stranger(url, name) {
  const call = async (method, path, token, body) => {
    const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const { token, user } = await call("POST", "/api/demo/session", null, { name });
  await call("PUT", `/api/chat/rooms/lobby/members/${user.id}`, token);
  return { user, write: (content) => call("POST", "/api/chat/rooms/lobby/messages", token, { content }) };
}
