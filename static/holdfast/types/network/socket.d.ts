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
     * whether nobody sees the page, so that it may be slow and save connections
     */
    setBackground: (background: boolean) => void;
    /**
     * it fell silent: have the browser give up what else it keeps open, which may be as dead
     */
    flush: () => void;
    /**
     * with its size, as the server counts it; 0 where it doesn't
     */
    onframe: (frame: Frame, bytes: number) => void;
    /**
     * a WebSocket's close code, or 4000 + an HTTP status
     */
    onclose: (code: number) => void;
};
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
