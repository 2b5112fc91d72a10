// @ts-check
/** How much one may write in the open room, told before a message is refused: its slow mode and its daily quota. */
import { byId } from "./dom.js";
import { briefly, plural } from "./format.js";

/** @typedef {import("./client/types.js").QuotaUse} QuotaUse */
/** @typedef {import("./client/types.js").RoomSnapshot} RoomSnapshot */

/**
 * @param {import("./client/tidings.js").Chat} chat
 * @returns {(room: import("./client/room.js").Room) => void} to be called with the room that is shown
 */
export function startAllowance(chat) {
  /** @type {import("./client/room.js").Room|null} */
  let room = null;
  let stop = () => {};
  /** @type {QuotaUse|null} */
  let quota = null;
  let waiting = 0;

  const render = () => {
    const info = room === null ? undefined : chat.rooms.get(room.id);
    const lines = [slowness(info), info?.quota && quota ? rest(quota) : null];
    const text = lines.filter(Boolean).join(" · ");
    const line = byId("allowance");
    if (line.textContent !== text) line.textContent = text;
    line.hidden = text === "";
    line.classList.toggle("used-up", info?.quota != null && quota !== null && quota.used >= quota.limit);
  };

  /** What was set, or used elsewhere, is announced to nobody. */
  const ask = async () => {
    const asked = room;
    if (asked === null) return;
    await chat.rooms.refresh(asked.id);
    if (!chat.rooms.get(asked.id)?.quota) return render();
    const found = await chat.quota(asked.id).catch(() => quota);
    if (asked !== room) return;
    quota = found;
    render();
  };

  /** One's own messages come and go in `pending`: one that went was sent, one that was refused tells of it. */
  const follow = () => {
    const pending = room?.getSnapshot().pending ?? [];
    const trying = pending.filter(({ state }) => state === "sending").length;
    if (trying < waiting || pending.some(({ error, attempts }) => error?.code === "slow_mode" && attempts === 1)) void ask();
    waiting = trying;
  };

  chat.rooms.subscribe(render);
  addEventListener("focus", () => void ask());
  return (shown) => {
    if (shown === room) return;
    stop();
    room = shown;
    quota = null;
    waiting = 0;
    stop = room.subscribe(follow);
    render();
    void ask();
  };
}

/** Who keeps order is not slowed down. @param {import("./client/types.js").RoomInfo|undefined} info */
function slowness(info) {
  const seconds = info?.me?.role === "MEMBER" ? info.slowModeSeconds : 0;
  if (!seconds) return null;
  const [count, one, many] = seconds % 60 === 0 ? [seconds / 60, "minute", "minutes"] : [seconds, "second", "seconds"];
  return `Slow mode: one message every ${count === 1 ? one : plural(count, one, many)}`;
}

/** @param {QuotaUse} quota */
function rest({ used, limit, resetsAt }) {
  const left = Math.max(0, limit - used);
  if (left === 0) return `No messages left today, more from ${briefly(resetsAt)}`;
  return `${left} of ${plural(limit, "message", "messages")} left today`;
}
