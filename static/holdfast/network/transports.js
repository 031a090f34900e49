// The transports of a client.

import { orNull } from "../or-null.js";
import { LazyHttpTransport } from "./lazy-http.js";
import { SocketTransport } from "./socket.js";

/** @typedef {import("../transport-choice.js").TransportName} TransportName */

/**
 * Return the factories of the transports that there are, best first.
 * @param {Omit<import("./http.js").HttpOptions, "fetch"|"holder"> & {url: string,
 *   WebSocket: typeof globalThis.WebSocket|null, fetch: typeof globalThis.fetch|null}} options
 */
export function transportsOf({ url, WebSocket, fetch, ...options }) {
  const { api, page, token } = options;
  /** @type {Partial<Record<TransportName, () => import("./socket.js").Transport>>} */
  const transports = {};
  const site = orNull(() => new URL(api, page.location.href).href) ?? api;
  if (WebSocket) transports.websocket = () => new SocketTransport(url, WebSocket, token);
  for (const name of /** @type {const} */ (["stream", "poll"])) {
    if (!fetch) continue;
    const holder = () => `${site} ${token.holder}`;
    transports[name] = () => new LazyHttpTransport(name, { ...options, fetch, holder: holder() });
  }
  return transports;
}
