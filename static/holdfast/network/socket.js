// The WebSocket transport. Nothing outside this folder touches the network.

import { byteLength, parseFrame } from "../protocol.js";

/** @typedef {import("../protocol.js").Frame} Frame */
/** @typedef {import("../transport-choice.js").TransportName} TransportName */

/**
 * What the client needs of a transport: frames both ways, whatever carries them. Its first frame is `connected`; until
 * then nothing may be sent. It says `onclose` once, also when it can't be opened, but perhaps very late, or never.
 * @typedef {object} Transport
 * @property {TransportName} name
 * @property {() => void} open
 * @property {(frame: Frame) => boolean} send false when it is lost
 * @property {() => void} close
 * @property {(background: boolean) => void} setBackground whether nobody sees the page, so that it may be slow and save connections
 * @property {() => void} flush it fell silent: have the browser give up what else it keeps open, which may be as dead
 * @property {(frame: Frame, bytes: number) => void} onframe with its size, as the server counts it; 0 where it doesn't
 * @property {(code: number) => void} onclose a WebSocket's close code, or 4000 + an HTTP status
 */

// A close without a close frame, as RFC 6455 numbers it.
export const ABNORMAL = 1006;
const OPEN = 1;

/** @implements {Transport} */
export class SocketTransport {
  /** @type {TransportName} */
  name = "websocket";
  /** @type {Transport["onframe"]} */
  onframe = () => {};
  /** @type {Transport["onclose"]} */
  onclose = () => {};
  #url;
  #WebSocket;
  #token;
  #closed = false;
  /** @type {WebSocket|null} */
  #socket = null;

  /**
   * @param {string} url absolute, or relative to the page
   * @param {typeof globalThis.WebSocket} WebSocket
   * @param {import("../token.js").Token} token
   */
  constructor(url, WebSocket, token) {
    this.#url = url;
    this.#WebSocket = WebSocket;
    this.#token = token;
  }

  open() {
    if (!this.#token.isUsed) return this.#connect();
    // A browser can set no header on a WebSocket: a subprotocol carries the token.
    this.#token.fresh().then(
      (token) => this.#closed || this.#connect("holdfast", `bearer.${token}`),
      () => this.onclose(ABNORMAL),
    );
  }

  /** @param {string[]} protocols */
  #connect(...protocols) {
    try {
      const socket = new this.#WebSocket(socketUrl(this.#url), protocols);
      socket.onmessage = ({ data }) => this.#receive(data);
      socket.onclose = ({ code }) => this.onclose(code);
      this.#socket = socket;
    } catch {
      queueMicrotask(() => this.onclose(ABNORMAL)); // the page's policy forbids it
    }
  }

  /** @param {Frame} frame */
  send(frame) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  close() {
    this.#closed = true;
    this.#socket?.close(1000);
  }

  setBackground() {} // an idle socket costs nothing

  flush() {} // and a new one is a new connection

  /** @param {string} text */
  #receive(text) {
    const frame = parseFrame(text);
    if (frame) this.onframe(frame, byteLength(text));
  }
}

/** @param {string} url */
function socketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute.href;
}
