// @ts-check
/**
 * What the client takes from its surroundings: sockets, requests, time, visibility, chance.
 * Nothing is touched at import, so a server may import it; each part can be replaced.
 */

import { indexedDbStore } from "./outbox-store.js";

/** @typedef {import("./types.js").Environment} Environment */

/** @param {Partial<Environment>} given @returns {Environment} */
export function environment(given) {
  return {
    WebSocket: given.WebSocket ?? globalThis.WebSocket,
    fetch: given.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    clock: given.clock ?? {
      now: () => Date.now(),
      setTimeout: (run, ms) => setTimeout(run, ms),
      clearTimeout: (timer) => clearTimeout(timer),
    },
    visibility: given.visibility ?? pageVisibility(),
    random: given.random ?? Math.random,
    uuid: given.uuid ?? randomUuid,
    locks: given.locks ?? (inPage() ? globalThis.navigator?.locks : undefined),
    openChannel: given.openChannel ?? (inPage() && globalThis.BroadcastChannel ? (name) => new BroadcastChannel(name) : undefined),
    store: given.store === undefined ? indexedDbStore(globalThis.indexedDB) : given.store,
  };
}

/** Node.js knows locks and channels too, but no tabs. */
const inPage = () => typeof document !== "undefined" && typeof addEventListener !== "undefined";

/** @returns {import("./types.js").Visibility} */
function pageVisibility() {
  if (!inPage()) {
    return { hidden: () => false, subscribe: () => () => {} };
  }
  return {
    hidden: () => document.hidden,
    subscribe(listener) {
      const visible = () => void (document.hidden || listener());
      document.addEventListener("visibilitychange", visible);
      addEventListener("online", listener);
      addEventListener("pageshow", listener);
      // A page that was frozen in view, or shares a window, thaws without becoming visible.
      document.addEventListener("resume", listener);
      return () => {
        document.removeEventListener("visibilitychange", visible);
        removeEventListener("online", listener);
        removeEventListener("pageshow", listener);
        document.removeEventListener("resume", listener);
      };
    },
  };
}

/** `crypto.randomUUID` exists on secure origins only; a phone on the local network is none. */
function randomUuid() {
  if (globalThis.crypto.randomUUID) return globalThis.crypto.randomUUID();
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
