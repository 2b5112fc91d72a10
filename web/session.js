// @ts-check
/**
 * Who is at this page: the demo's sign-in, or a token pasted where the application has its own.
 * It is kept per tab, so that a second tab can be a second person, and never put into an address.
 */

const KEY = "tidings.session";

export const baseUrl = new URL(".", document.baseURI).href.replace(/\/$/, "");

/** @typedef {{ token: string, demo: boolean }} Held */

/** @returns {Held|null} */
export function held() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Held} session */
const keep = (session) => sessionStorage.setItem(KEY, JSON.stringify(session));

export const forget = () => sessionStorage.removeItem(KEY);

/** @param {string} token */
export const keepToken = (token) => keep({ token, demo: false });

/**
 * @param {string} name
 * @returns {Promise<boolean>} false when the service has no demo sign-in
 */
export async function signIn(name) {
  const answer = await demo({ name });
  if (answer.status === 404) return false;
  if (!answer.ok) throw new Error(await reason(answer));
  keep({ token: (await answer.json()).token, demo: true });
  return true;
}

/** The token, or another one for the same person. @type {import("./client/types.js").GetToken} */
export async function getToken({ renew }) {
  const session = held();
  if (session === null) return null;
  if (!renew) return session.token;
  if (!session.demo) return null;
  const answer = await demo({}, session.token);
  if (answer.status >= 500 || answer.status === 429) throw new Error(await reason(answer));
  if (!answer.ok) return null;
  const { token } = await answer.json();
  keep({ token, demo: true });
  return token;
}

/** @param {object} body @param {string} [token] */
function demo(body, token) {
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(`${baseUrl}/api/demo/session`, { method: "POST", headers, body: JSON.stringify(body) });
}

/** @param {Response} answer */
async function reason(answer) {
  try {
    const { detail } = await answer.json();
    return detail ?? `The service answered ${answer.status}.`;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}
