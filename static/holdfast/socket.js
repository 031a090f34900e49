// The WebSocket transport, and the one file that touches the network.

/**
 * What the client needs of a transport. It says `onclose` once, also when it can't be opened, but perhaps very late.
 * @typedef {object} Transport
 * @property {string} name
 * @property {() => void} open
 * @property {(text: string) => boolean} send false when it is lost
 * @property {() => void} close
 * @property {(text: string) => void} onframe
 * @property {(code: number) => void} onclose
 */

// A close without a close frame, as RFC 6455 numbers it.
export const ABNORMAL = 1006;
const OPEN = 1;

/** @implements {Transport} */
export class SocketTransport {
  name = "websocket";
  onframe = () => {};
  onclose = () => {};
  #socket = null;

  /** @param {string} url absolute, or relative to the page @param {typeof WebSocket} WebSocket */
  constructor(url, WebSocket) {
    this.url = url;
    this.WebSocket = WebSocket;
  }

  open() {
    try {
      this.#socket = new this.WebSocket(socketUrl(this.url));
    } catch {
      queueMicrotask(() => this.onclose(ABNORMAL)); // the page's policy forbids it
      return;
    }
    this.#socket.onmessage = ({ data }) => this.onframe(data);
    this.#socket.onclose = ({ code }) => this.onclose(code);
  }

  send(text) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  close() {
    this.#socket?.close(1000);
  }
}

function socketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute.href;
}
