// @ts-check
/** The messages of the open room as rows: days, groups of one sender, quiet SYSTEM lines, what is not sent yet. */
import { avatar, el, icon } from "./dom.js";
import { day, dayKey, exactly, plural, time } from "./format.js";
import { nameOf } from "./people.js";

/** A pause this long begins a new group. */
const GROUP_MS = 5 * 60_000;

/** @typedef {import("./client/types.js").Message} Message */
/** @typedef {import("./client/types.js").Pending} Pending */
/** @typedef {{ key: string, state: string, make: () => HTMLElement }} Row */

/**
 * @typedef {object} Acts
 * @property {(message: Message, button: HTMLElement) => void} menu
 * @property {(message: Message, emoji: string, on: boolean) => void} react
 * @property {(id: string) => void} retry
 * @property {(id: string) => void} discard
 */

/**
 * @param {{ messages: Message[], pending: Pending[] }} room
 * @param {{ me: string, dividerAfter: number|null, acts: Acts }} options
 * @returns {Row[]}
 */
export function messageRows({ messages, pending }, { me, dividerAfter, acts }) {
  /** @type {Row[]} */
  const rows = [];
  let today = "";
  // Where the first unread message is out of view, so is the divider.
  let divided = dividerAfter === null || (messages[0]?.seq ?? 0) > dividerAfter + 1;
  /** @type {Message|null} */
  let last = null;
  for (const message of messages) {
    if (dayKey(message.createdAt) !== today) {
      today = dayKey(message.createdAt);
      rows.push(dayRow(message.createdAt));
      last = null;
    }
    if (!divided && message.seq > /** @type {number} */ (dividerAfter) && message.senderId !== me) {
      divided = true;
      rows.push({ key: "new", state: "", make: () => el("li", { class: "divider new" }, el("span", {}, "New")) });
      last = null;
    }
    if (message.contentType === "SYSTEM") {
      rows.push(systemRow(message));
      last = null;
      continue;
    }
    const first = last === null || last.senderId !== message.senderId || gap(last, message) > GROUP_MS;
    rows.push(messageRow(message, first, me, acts));
    last = message;
  }
  pending.forEach((message, at) => rows.push(pendingRow(message, at === 0 && last?.senderId !== me, acts)));
  return rows;
}

/** @param {Message} a @param {Message} b */
const gap = (a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt);

/** @param {string} at @returns {Row} */
function dayRow(at) {
  const text = day(at);
  const make = () => el("li", { class: "divider" }, el("span", {}, text));
  return { key: `day ${dayKey(at)}`, state: text, make };
}

/** @param {Message} message @returns {Row} */
function systemRow(message) {
  const make = () =>
    el("li", { class: "system", title: exactly(message.createdAt) }, el("bdi", {}, message.content ?? ""));
  return { key: message.id, state: String(message.rev), make };
}

/** @param {Message} message @param {boolean} first @param {string} me @param {Acts} acts @returns {Row} */
function messageRow(message, first, me, acts) {
  const mine = message.senderId === me;
  const name = message.senderName ?? nameOf(message.senderId);
  const make = () =>
    el(
      "li",
      { class: `message${mine ? " mine" : ""}${first ? " first" : ""}` },
      first && !mine ? avatar(message.senderId ?? "", name) : null,
      first
        ? el("p", { class: "by" }, mine ? el("span", { class: "visually-hidden" }, "You") : el("bdi", {}, name), stamp(message))
        : el("span", { class: "visually-hidden" }, mine ? "You" : name),
      el("div", { class: "line" }, bubble(message), message.deletedAt ? null : more(message, name, acts)),
      message.reactions.length > 0 && !message.deletedAt ? reactions(message, me, acts) : null,
    );
  return { key: message.id, state: `${message.rev} ${first}`, make };
}

/** @param {{ createdAt: string }} message */
const stamp = (message) =>
  el("time", { datetime: message.createdAt, title: exactly(message.createdAt) }, time(message.createdAt));

/** @param {Message} message */
function bubble(message) {
  if (message.deletedAt) return el("p", { class: "bubble deleted" }, "This message was deleted");
  const edited = message.editedAt
    ? el("span", { class: "edited", title: exactly(message.editedAt) }, "edited")
    : null;
  const flagged =
    message.moderation === "FLAGGED"
      ? el("span", { class: "edited", title: "A moderator will look at this message" }, "under review")
      : null;
  const text = message.content ?? "";
  const kind = isPicture(text) ? "bubble picture" : "bubble";
  return el("p", { class: kind, dir: "auto", title: exactly(message.createdAt) }, ...linked(text), edited, flagged);
}

/** A few emojis and nothing else. @param {string} text */
const isPicture = (text) => /^(?:\p{RGI_Emoji}\s*){1,4}$/v.test(text);

/** Text with its web addresses as links; nothing else is ever markup. @param {string} text */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]])/u).map((part, at) => {
    if (at % 2 === 0) return document.createTextNode(part);
    return el("a", { href: part, target: "_blank", rel: "noopener noreferrer nofollow" }, part);
  });
}

/** @param {Message} message @param {string} name @param {Acts} acts */
function more(message, name, acts) {
  const label = `Actions for the message of ${name} at ${time(message.createdAt)}`;
  const button = el("button", { class: "more", type: "button", "aria-label": label, "aria-haspopup": "menu" }, icon("more"));
  button.addEventListener("click", () => acts.menu(message, button));
  return button;
}

/** @param {Message} message @param {string} me @param {Acts} acts */
function reactions(message, me, acts) {
  const chips = message.reactions.map(({ emoji, count, userIds }) => {
    const on = userIds.includes(me);
    const label = `${emoji}, ${plural(count, "person", "people")}${on ? ", you too" : ""}`;
    return el(
      "button",
      {
        class: "reaction",
        type: "button",
        "aria-pressed": String(on),
        "aria-label": label,
        title: userIds.map((id) => (id === me ? "You" : nameOf(id))).join(", "),
        onclick: () => acts.react(message, emoji, !on),
      },
      emoji,
      el("span", {}, String(count)),
    );
  });
  return el("div", { class: "reactions" }, ...chips);
}

/** @param {Pending} message @param {boolean} first @param {Acts} acts @returns {Row} */
function pendingRow(message, first, acts) {
  const failed = message.state === "failed";
  const trouble = troubleOf(message);
  const make = () =>
    el(
      "li",
      { class: `message mine pending${first ? " first" : ""}${failed ? " failed" : ""}` },
      el("div", { class: "line" }, el("p", { class: isPicture(message.content) ? "bubble picture" : "bubble", dir: "auto" }, ...linked(message.content))),
      el(
        "p",
        { class: `trouble${failed ? "" : " sending"}` },
        el("span", {}, trouble ?? "Sending…"),
        failed ? el("button", { class: "quiet", type: "button", onclick: () => acts.retry(message.id) }, "Try again") : null,
        trouble ? el("button", { class: "quiet", type: "button", onclick: () => acts.discard(message.id) }, "Discard") : null,
      ),
    );
  return { key: message.id, state: `pending ${message.state} ${trouble} ${first}`, make };
}

/** What keeps it from being sent, in words. @param {Pending} message @returns {string|null} */
function troubleOf({ state, error }) {
  if (state === "failed") return `Not sent: ${error?.message ?? "no connection"}`;
  // A socket that was cut says nothing yet: the message goes the other way at once.
  return error === null || error.code === "disconnected" ? null : `Not sent yet: ${error.message}. Trying again…`;
}
