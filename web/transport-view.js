// @ts-check
/** The small panel that says how messages travel just now, and the switch that cuts the socket. */
import { byId, perFrame } from "./dom.js";
import { bytes } from "./format.js";

const WORDS = {
  connecting: ["Connecting…", "Connecting"],
  live: ["Live over WebSocket", "Live"],
  polling: ["Polling", "Polling"],
  offline: ["Offline, trying again", "Offline"],
  closed: ["Closed", "Closed"],
};

/** @param {import("./client/tidings.js").Chat} chat @param {() => import("./client/room.js").Room|null} openRoom */
export function startTransportView(chat, openRoom) {
  const render = perFrame(() => {
    const { status, reason } = chat.connection.getSnapshot();
    const stats = chat.stats.getSnapshot();
    const [long, word] = WORDS[status];
    for (const dot of document.querySelectorAll(".dot")) /** @type {HTMLElement} */ (dot).dataset.status = status;
    setText("transport-status", long);
    setText("room-status-word", word);
    byId("room-status").title = long;
    setText("transport-reason", status === "live" || reason === null ? "" : sentence(reason));
    setText("stat-round-trip", stats.roundTripMs === null ? "–" : `${Math.round(stats.roundTripMs)} ms`);
    setText("stat-bytes", `${bytes(stats.bytesIn)} / ${bytes(stats.bytesOut)}`);
    setText("stat-polls", stats.polls === 0 ? "none" : `${stats.polls}, ${stats.pollsMetaOnly} only meta`);
    const room = openRoom()?.getSnapshot();
    const rev = room === undefined || room.rev === null ? "–" : `rev ${room.rev}`;
    setText("stat-complete", room?.complete === false && room.rev !== null ? `${rev}, catching up` : rev);
  });
  byId("use-socket").checked = true;
  byId("use-socket").addEventListener("change", () => chat.useSocket(byId("use-socket").checked));
  chat.connection.subscribe(render);
  chat.stats.subscribe(render);
  render();
  return render;
}

/** @param {string} id @param {string} text */
function setText(id, text) {
  const node = byId(id);
  // Untouched when equal: a status that is set again is read aloud again.
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} reason */
const sentence = (reason) => reason.charAt(0).toUpperCase() + reason.slice(1).replaceAll("_", " ") + ".";
