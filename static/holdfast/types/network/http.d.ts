export type Frame = import("../protocol.js").Frame;
export type Transport = import("./socket.js").Transport;
export type Post = (path: string, body: object, abort?: AbortController) => Promise<Response>;
export type ExchangeRequest = {
    attach: Frame[];
    waitMs: number;
    abort: AbortController;
};
export type ExchangeRunner = (post: Post, asked: ExchangeRequest, deliver: (frame: Frame) => void) => Promise<void>;
export type Exchange = ExchangeRequest & {
    since: number;
    leaving: number | null;
};
export type HttpOptions = {
    /**
     * address of the API, with the last slash
     */
    api: string;
    fetch: typeof fetch;
    token: import("../token.js").Token;
    clock: import("../timers.js").Clock;
    page: Window & typeof globalThis;
    /**
     * name of those whose tabs may share its exchanges: site and identity
     */
    holder: string;
    /**
     * attach frames of the sessions; `returning`: after an
     * interruption, so that the answer is a catch-up
     */
    attaches: (returning: boolean) => Frame[];
};
/** @typedef {import("../protocol.js").Frame} Frame */
/** @typedef {import("./socket.js").Transport} Transport */
/**
 * Sends a request. Rejects with a `Refusal` for an HTTP error.
 * @typedef {(path: string, body: object, abort?: AbortController) => Promise<Response>} Post
 */
/** @typedef {{attach: Frame[], waitMs: number, abort: AbortController}} ExchangeRequest */
/**
 * Runs an exchange: delivers frames as they come, resolves at the end of the answer.
 * @typedef {(post: Post, asked: ExchangeRequest, deliver: (frame: Frame) => void) => Promise<void>} ExchangeRunner
 */
/**
 * A running exchange: its start, and the delay of its `going-away`; ms.
 * @typedef {ExchangeRequest & {since: number, leaving: number|null}} Exchange
 */
/**
 * @typedef {object} HttpOptions
 * @property {string} api address of the API, with the last slash
 * @property {typeof fetch} fetch
 * @property {import("../token.js").Token} token
 * @property {import("../timers.js").Clock} clock
 * @property {Window & typeof globalThis} page
 * @property {string} holder name of those whose tabs may share its exchanges: site and identity
 * @property {(returning: boolean) => Frame[]} attaches attach frames of the sessions; `returning`: after an
 *   interruption, so that the answer is a catch-up
 */
export declare const LASTING_MS = 5000;
export declare const WAIT_MS = 25000;
export declare const IDLE_POLL_MS = 15000;
export declare const POOL = 6;
export declare const FLUSH_MS = 1000;
/** @implements {Transport} */
export declare class HttpTransport implements Transport {
    #private;
    name: "poll" | "stream";
    /** @type {Transport["onframe"]} */
    onframe: Transport["onframe"];
    /** @type {Transport["onclose"]} */
    onclose: Transport["onclose"];
    /** @param {"stream"|"poll"} name @param {HttpOptions} options */
    constructor(name: "stream" | "poll", options: HttpOptions);
    open(): void;
    /** @param {Frame} frame */
    send(frame: Frame): boolean;
    close(): void;
    /** @param {boolean} background */
    setBackground(background: boolean): void;
    flush(): void;
}
