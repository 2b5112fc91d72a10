// @ts-check
/** The small menu beside a message: one element, moved to whoever opens it, closed by Escape or a click outside. */
import { byId, el } from "./dom.js";

/**
 * @param {HTMLElement} button
 * @param {object} content
 * @param {{ emoji: string, on: boolean, act: () => void }[]} content.emojis
 * @param {({ text: string, danger?: boolean, act: () => void }|null)[]} content.items
 */
export function openMenu(button, { emojis, items }) {
  const menu = byId("menu");
  /** @param {() => void} act */
  const choose = (act) => () => {
    menu.hidePopover();
    button.focus();
    act();
  };
  const row = emojis.map(({ emoji, on, act }) =>
    el("button", { role: "menuitemcheckbox", type: "button", "aria-checked": String(on), "aria-label": `React with ${emoji}`, onclick: choose(act) }, emoji),
  );
  const lines = items.flatMap((item) =>
    item === null
      ? []
      : [el("button", { role: "menuitem", type: "button", class: item.danger ? "danger" : "", onclick: choose(item.act) }, el("bdi", {}, item.text))],
  );
  menu.replaceChildren(el("div", { class: "emojis", role: "group", "aria-label": "React" }, ...row), ...lines);
  menu.showPopover();
  place(menu, button);
  menu.querySelector("button")?.focus();
}

/** Below the button, or above it where there is no room. @param {HTMLElement} menu @param {HTMLElement} button */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const wanted = at.left < innerWidth / 2 ? at.left : at.right - width;
  const left = Math.min(Math.max(8, wanted), innerWidth - width - 8);
  const top = at.bottom + height + 8 > innerHeight ? at.top - height - 4 : at.bottom + 4;
  menu.style.left = `${left}px`;
  menu.style.top = `${Math.max(8, top)}px`;
}

byId("menu").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const buttons = [...byId("menu").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[(at + step + buttons.length) % buttons.length].focus();
});
