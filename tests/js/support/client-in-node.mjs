// The client in Node, with headers of its own on every request, over a socket or over HTTP alone.

import { WebSocket } from "undici"; // Node has one of its own from 22 on, which can't send a cookie
import { Holdfast } from "../../../static/holdfast/index.js";

/**
 * @param {{url: string, headers: Record<string, string>, transport: string, page?: object}} options
 *   `transport`: "websocket" or "stream"; `page`: another than the process
 */
export function clientInNode({ url, headers, transport, page = globalThis }) {
  class SocketWithHeaders extends WebSocket {
    constructor(address) {
      super(address, { headers });
    }
  }
  return new Holdfast({
    url: `${url}/ws/`,
    api: `${url}/api/`,
    page,
    WebSocket: transport === "websocket" ? SocketWithHeaders : null,
    fetch: (address, init) => fetch(address, { ...init, headers: { ...init.headers, ...headers } }),
  });
}
