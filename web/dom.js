// @ts-check
/** Building blocks of the page. What people wrote goes in as text nodes only, never as markup. */

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]  `on…` are listeners, `data` the dataset; false and null leave one out
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A face drawn of initials; its colour belongs to the id. @param {string} id @param {string} name */
export function avatar(id, name) {
  let hash = 7;
  for (const char of id) hash = (hash * 31 + char.charCodeAt(0)) >>> 0;
  return el("span", { class: "avatar", "aria-hidden": "true", data: { hue: hash % 8 } }, initials(name));
}

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => Array.from(word)[0].toLocaleUpperCase()).join("") || "?";
}

/**
 * Makes `parent` hold exactly these rows, touching only what differs, so that focus, selection and a
 * screen reader's place survive. A row is made again when its `state` differs; the focus in it moves along.
 * @param {HTMLElement} parent
 * @param {{ key: string, state: string, make: () => HTMLElement }[]} rows
 */
export function reconcile(parent, rows) {
  const held = new Map(Array.from(parent.children, (child) => [/** @type {any} */ (child).rowKey, child]));
  let next = parent.firstElementChild;
  for (const { key, state, make } of rows) {
    let child = /** @type {any} */ (held.get(key));
    let focused = -1;
    held.delete(key);
    if (child === undefined || child.rowState !== state) {
      const made = /** @type {any} */ (make());
      made.rowKey = key;
      made.rowState = state;
      if (child === next && child !== undefined) next = child.nextElementSibling;
      focused = focusable(child).indexOf(document.activeElement);
      child?.remove();
      child = made;
    }
    if (child === next) next = next?.nextElementSibling ?? null;
    else parent.insertBefore(child, next);
    if (focused >= 0) (focusable(child)[focused] ?? focusable(child).at(-1))?.focus({ preventScroll: true });
  }
  for (const child of held.values()) child.remove();
}

/** @param {Element|undefined} row @returns {any[]} */
const focusable = (row) => Array.from(row?.querySelectorAll("button, a") ?? []);

/** One call per frame, however often it is asked for. @param {() => void} run */
export function perFrame(run) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const once = () => {
      if (!asked) return;
      asked = false;
      run();
    };
    requestAnimationFrame(once);
    // Frames stop in a hidden page; the unread count in its title should not.
    setTimeout(once, 250);
  };
}

let noticeTimer = 0;

/** Says what went wrong, for a while. @param {unknown} error */
export function notice(error) {
  const box = byId("notice");
  box.textContent = error instanceof Error ? error.message : String(error);
  box.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = window.setTimeout(() => (box.hidden = true), 6000);
}
