// @ts-check
/**
 * The built-in page: signs in, joins the lobby, and shows what the client knows.
 * It uses nothing but the public face of the client, so it is also the example of how to use it.
 */
import { connect } from "./client/tidings.js";
import { startAllowance } from "./allowance.js";
import { startComposer } from "./composer.js";
import { findRoom, newRoom, showPeople } from "./dialogs.js";
import { byId, notice } from "./dom.js";
import { titleOf } from "./people.js";
import { RoomView } from "./room-view.js";
import { startRoomsView } from "./rooms-view.js";
import { baseUrl, forget, getToken, held, keepToken, signIn } from "./session.js";
import { startTransportView } from "./transport-view.js";

const LOBBY = "lobby";

function showSignIn(/** @type {string} */ trouble = "") {
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-error").textContent = trouble;
  byId("sign-in-error").hidden = trouble === "";
  byId("name").focus();
}

byId("sign-in").addEventListener("submit", async (/** @type {Event} */ event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  const name = byId("name").value.trim();
  try {
    if (!byId("sign-in-token").hidden) {
      if (token === "") return;
      keepToken(token);
      byId("token").value = "";
    } else if (name === "" || !(await signIn(name))) {
      return name === "" ? byId("name").focus() : offerToken();
    }
    await start();
  } catch (error) {
    showSignIn(error instanceof Error ? error.message : String(error));
  }
});

/** The service knows people by the application's own sign-in. */
function offerToken() {
  byId("sign-in-name").hidden = true;
  byId("sign-in-token").hidden = false;
  byId("sign-in-lead").textContent = "This service uses the sign-in of your application. Paste a token of yours.";
  byId("token").focus();
}

async function start() {
  const chat = connect({ baseUrl, getToken });
  try {
    const { user } = await chat.session();
    await joinLobby(chat);
    await chat.rooms.load();
    byId("sign-in").hidden = true;
    byId("app").hidden = false;
    run(chat, user.id);
  } catch (error) {
    chat.close();
    const code = /** @type {any} */ (error)?.code;
    if (code === "unauthenticated" || code === "token_expired" || code === "closed") forget();
    throw error;
  }
}

/** @param {import("./client/tidings.js").Chat} chat */
async function joinLobby(chat) {
  try {
    await chat.join(LOBBY);
  } catch (error) {
    // A service with an application behind it need not have a lobby.
    if (!["room_not_found", "forbidden"].includes(/** @type {any} */ (error)?.code)) throw error;
  }
}

/** @param {import("./client/tidings.js").Chat} chat @param {string} me */
function run(chat, me) {
  const composer = { edit: (/** @type {any} */ _message) => {}, reset: () => {} };
  const direct = async (/** @type {string} */ userId) => {
    try {
      open((await chat.createRoom({ type: "DIRECT", memberIds: [userId] })).id);
    } catch (error) {
      notice(error);
    }
  };
  const view = new RoomView(chat, { me, edit: (message) => composer.edit(message), direct });
  Object.assign(composer, startComposer(view));

  const showAllowance = startAllowance(chat);
  let stopWatching = () => {};
  const open = (/** @type {string} */ roomId) => {
    if (view.room?.id !== roomId) composer.reset();
    const room = chat.room(roomId);
    view.show(room);
    showAllowance(room);
    stopWatching();
    stopWatching = room.subscribe(renderTransport);
    history.replaceState(null, "", `#${encodeURIComponent(roomId)}`);
    closeDrawer();
    renderRooms();
    renderTransport();
    byId("leave-room").hidden = chat.rooms.get(roomId)?.type === "DIRECT";
  };
  const openFirst = () => {
    const { rooms } = chat.rooms.getSnapshot();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const room = rooms.find(({ id }) => id === wanted) ?? rooms.find(({ id }) => id === LOBBY) ?? rooms[0];
    if (room !== undefined) open(room.id);
    else void findRoom(chat, open);
  };
  const renderTransport = startTransportView(chat, () => view.room);
  const renderRooms = startRoomsView(chat, { me, current: () => view.room?.id ?? null, open });
  chat.rooms.subscribe(view.render);
  chat.connection.subscribe(() => onClosed(chat));

  byId("find-room").addEventListener("click", () => findRoom(chat, open));
  byId("new-room").addEventListener("click", () => newRoom(chat, me, open));
  byId("people").addEventListener("click", () => view.room && showPeople(chat, view.room, { me, direct }));
  byId("leave-room").addEventListener("click", () => leave(chat, me, view.room?.id, openFirst));
  byId("sign-out").addEventListener("click", () => {
    forget();
    void chat.logOut();
  });
  openFirst();
}

/** @param {import("./client/tidings.js").Chat} chat @param {string} me @param {string|undefined} roomId @param {() => void} then */
async function leave(chat, me, roomId, then) {
  const room = roomId === undefined ? undefined : chat.rooms.get(roomId);
  if (room === undefined || !confirm(`Leave ${titleOf(room, me)}?`)) return;
  try {
    await chat.leave(room.id);
    then();
  } catch (error) {
    notice(error);
  }
}

/** A closed connection is for good: begin again from the sign-in. @param {import("./client/tidings.js").Chat} chat */
function onClosed(chat) {
  const { status, reason } = chat.connection.getSnapshot();
  if (status !== "closed") return;
  const own = held() === null;
  forget();
  // A fresh page is the one state that is surely right; the reason is told there.
  sessionStorage.setItem("tidings.farewell", own ? "" : `You were signed out: ${reason}.`);
  location.reload();
}

function closeDrawer() {
  byId("app").classList.remove("drawer-open");
  byId("open-sidebar").setAttribute("aria-expanded", "false");
}

byId("open-sidebar").addEventListener("click", () => {
  byId("app").classList.add("drawer-open");
  byId("open-sidebar").setAttribute("aria-expanded", "true");
  byId("rooms").querySelector("button")?.focus();
});
byId("scrim").addEventListener("click", closeDrawer);
addEventListener("keydown", ({ key }) => key === "Escape" && closeDrawer());

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("tidings.theme", root.dataset.theme);
});

/** A reload in the middle of an outage keeps the session and waits, instead of asking for a new name. */
async function resume() {
  const form = byId("sign-in").querySelector("form");
  for (;;) {
    try {
      form.inert = true;
      return await start();
    } catch (cause) {
      const error = /** @type {any} */ (cause);
      form.inert = error?.transient === true;
      showSignIn(form.inert ? `${error.message}. Trying again…` : String(error?.message ?? error));
      if (!form.inert) return;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

if (held() === null) {
  showSignIn(sessionStorage.getItem("tidings.farewell") ?? "");
  sessionStorage.removeItem("tidings.farewell");
} else {
  void resume();
}
