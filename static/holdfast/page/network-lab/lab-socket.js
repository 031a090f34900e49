// WebSocket through the lab's network.

/** @typedef {import("./lab-network.js").LabNetwork} LabNetwork */

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];
const ABNORMAL = { code: 1006, reason: "", wasClean: false };

/**
 * @param {LabNetwork} network
 * @param {typeof WebSocket} WebSocket
 * @returns {typeof WebSocket} for text frames only
 */
export function labWebSocket(network, WebSocket) {
  return class LabSocket extends EventTarget {
    static CONNECTING = CONNECTING;
    static OPEN = OPEN;
    static CLOSING = CLOSING;
    static CLOSED = CLOSED;
    onopen = null;
    onmessage = null;
    onerror = null;
    onclose = null;
    readyState = CONNECTING;
    #socket = null;
    #line = network.open("websocket", () => this.#lose());

    constructor(url, protocols) {
      super();
      this.url = String(url);
      if (network.is("offline") || network.is("blockWebSocket")) setTimeout(() => this.#lose());
      else this.#open(new WebSocket(url, protocols));
    }

    send(data) {
      if (this.readyState === CONNECTING) throw new DOMException("Still in CONNECTING state", "InvalidStateError");
      if (this.readyState !== OPEN) return;
      this.#line.carry("up", data.length, () => this.#socket.readyState === OPEN && this.#socket.send(data));
    }

    close(code, reason) {
      if (this.readyState >= CLOSING) return;
      this.readyState = CLOSING;
      this.#socket?.close(code, reason);
    }

    #open(socket) {
      this.#socket = socket;
      const down = (bytes, arrive) => this.#line.carry("down", bytes, arrive);
      socket.onopen = () => down(0, () => this.#opened());
      socket.onmessage = ({ data }) => down(data.length, () => this.#emit("message", { data }));
      socket.onclose = ({ code, reason, wasClean }) => down(0, () => this.#closed({ code, reason, wasClean }));
    }

    #opened() {
      if (this.readyState !== CONNECTING) return;
      this.readyState = OPEN;
      this.#emit("open");
    }

    #lose() {
      this.#socket?.close();
      this.#socket = null;
      this.#emit("error");
      this.#closed(ABNORMAL);
    }

    #closed(how) {
      if (this.readyState === CLOSED) return;
      this.readyState = CLOSED;
      this.#line.close();
      this.#emit("close", how);
    }

    #emit(type, detail = {}) {
      const event = Object.assign(new Event(type), detail);
      this[`on${type}`]?.(event);
      this.dispatchEvent(event);
    }
  };
}
