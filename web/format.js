// @ts-check
/** Times, sizes and names as people read them, in their own language. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** @param {string} iso */
export const time = (iso) => clock.format(new Date(iso));

/** @param {string} iso */
export const exactly = (iso) => full.format(new Date(iso));

/** @param {string} iso */
export const dayKey = (iso) => new Date(iso).toDateString();

/** @param {string} iso */
export function day(iso) {
  const date = new Date(iso);
  const today = new Date();
  const away = Math.round((startOf(date) - startOf(today)) / 86_400_000);
  if (away === 0 || away === -1) {
    const word = relative.format(away, "day");
    return word.charAt(0).toLocaleUpperCase() + word.slice(1);
  }
  return (date.getFullYear() === today.getFullYear() ? weekday : withYear).format(date);
}

/** The time today, the day before that. @param {string} iso */
export const briefly = (iso) => (dayKey(iso) === new Date().toDateString() ? time(iso) : short.format(new Date(iso)));

/** @param {Date} date */
const startOf = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** @param {number} count */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}

/** @param {string[]} names */
export function together(names) {
  return new Intl.ListFormat(undefined, { type: "conjunction" }).format(names);
}

/** @param {number} count @param {string} one @param {string} many */
export const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
