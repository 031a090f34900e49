// Network functions of the page: the browser's own, or the network lab's replacements.

export const network = {
  WebSocket: globalThis.WebSocket,
  /** @type {typeof globalThis.fetch} */
  fetch: (...request) => globalThis.fetch(...request),
};
