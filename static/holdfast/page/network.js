// What the page reaches its server through: the browser's own, or what the network lab has put in their place.

export const network = {
  WebSocket: globalThis.WebSocket,
  /** @type {typeof globalThis.fetch} */
  fetch: (...request) => globalThis.fetch(...request),
};
