/**
 * React in a document of its own. It is imported by way of here, because React looks for a document when it begins, and the
 * client's hooks must find the same React.
 */
import { register } from "node:module";
import { Window } from "happy-dom";
import { FakeSocket, world } from "../client/support.js";

const window = new Window({ url: "http://chat.test/" });
const { document, navigator } = window;
Object.entries({ window, document, navigator, IS_REACT_ACT_ENVIRONMENT: true }).forEach(([name, value]) =>
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true }),
);

// The client is not installed here, so what it imports by name is looked for beside these tests.
const resolve = `export const resolve = (name, context, next) =>
  next(name, name === "react" ? { ...context, parentURL: ${JSON.stringify(import.meta.url)} } : context);`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);

export const React = (await import("react")).default;
const { createRoot } = await import("react-dom/client");
export const { renderToString } = await import("react-dom/server");
export const tidings = await import("../../client/react.js");
export const compat = await import("../../client/compat/useChatRest.js");

/** The world of a chat that is not made yet: what to connect with, and the sockets it opens. */
export function surroundings() {
  const { clock, visibility, service } = world();
  const sockets = [];
  class Opener extends FakeSocket {
    constructor(url, protocols) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const options = { baseUrl: "http://chat.test", WebSocket: Opener, fetch: service.fetch, clock, visibility, tabs: false };
  return { sockets, options, service };
}

/** Renders into a container of its own; `act` lets effects and what follows from them happen. */
export async function render(element) {
  const container = document.createElement("div");
  document.body.append(container);
  const root = createRoot(container);
  const act = (run) => React.act(async () => void (await run()));
  await act(() => root.render(element));
  return {
    act,
    text: () => container.textContent,
    show: (other) => act(() => root.render(other)),
    unmount: () => act(() => root.unmount()),
  };
}
