export type Frame = import("../protocol.js").Frame;
export type TransportName = import("../transport-choice.js").TransportName;
export type Transport = {
    name: TransportName;
    open: () => void;
    /**
     * false when it is lost
     */
    send: (frame: Frame) => boolean;
    close: () => void;
    /**
     * whether the page is hidden: the transport may be slow and
     * save connections
     */
    setBackground: (background: boolean) => void;
    /**
     * drop the browser's idle connections, which may be dead: the transport went silent
     */
    flush: () => void;
    /**
     * with its size as the server counts it, or 0
     */
    onframe: (frame: Frame, bytes: number) => void;
    /**
     * WebSocket close code, or 4000 + HTTP status
     */
    onclose: (code: number) => void;
};
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
export declare const ABNORMAL = 1006;
/** @implements {Transport} */
export declare class SocketTransport implements Transport {
    #private;
    /** @type {TransportName} */
    name: TransportName;
    /** @type {Transport["onframe"]} */
    onframe: Transport["onframe"];
    /** @type {Transport["onclose"]} */
    onclose: Transport["onclose"];
    /**
     * @param {string} url absolute, or relative to the page
     * @param {typeof globalThis.WebSocket} WebSocket
     * @param {import("../token.js").Token} token
     */
    constructor(url: string, WebSocket: typeof globalThis.WebSocket, token: import("../token.js").Token);
    open(): void;
    /** @param {Frame} frame */
    send(frame: Frame): boolean;
    close(): void;
    setBackground(): void;
    flush(): void;
}
