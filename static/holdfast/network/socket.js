// The WebSocket transport, and the interface of all transports. Only this folder uses the network.

import { byteLength, parseFrame } from "../protocol.js";

/** @typedef {import("../protocol.js").Frame} Frame */
/** @typedef {import("../transport-choice.js").TransportName} TransportName */

/**
 * A transport: frames both ways. Its first frame is `connected`; nothing may be sent before. `onclose` is called once,
 * also when it cannot be opened, but perhaps very late or never.
 * @typedef {object} Transport
 * @property {TransportName} name
 * @property {() => void} open
 * @property {(frame: Frame) => boolean} send false when it is lost
 * @property {() => void} close
 * @property {(background: boolean) => void} setBackground whether the page is hidden: the transport may be slow and
 *   save connections
 * @property {() => void} flush drop the browser's idle connections, which may be dead: the transport went silent
 * @property {(frame: Frame, bytes: number) => void} onframe with its size as the server counts it, or 0
 * @property {(code: number) => void} onclose WebSocket close code, or 4000 + HTTP status
 */

// Close code for a lost connection (RFC 6455).
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
    // Browsers set no headers on a WebSocket: a subprotocol carries the token.
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
      queueMicrotask(() => this.onclose(ABNORMAL)); // forbidden by the page's Content-Security-Policy
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

  setBackground() {} // an idle socket is cheap

  flush() {} // a new socket is a new connection

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
