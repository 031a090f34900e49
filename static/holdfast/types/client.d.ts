import { Session } from "./session.js";
import { sharing } from "./shared-signals.js";
export type Frame = import("./protocol.js").Frame;
export type Limits = import("./protocol.js").Limits;
export type TransportName = import("./transport-choice.js").TransportName;
export type EventsOf<Details extends object> = import("./session.js").EventsOf<Details>;
export type HoldfastEvents = {
    /**
     * as it is now
     */
    connection: Holdfast["connection"];
    /**
     * of the server, about no session
     */
    error: import("./connection-state.js").Reason;
};
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @template {object} Details @typedef {import("./session.js").EventsOf<Details>} EventsOf */
/**
 * @typedef {object} HoldfastEvents
 * @property {Holdfast["connection"]} connection as it is now
 * @property {import("./connection-state.js").Reason} error of the server, about no session
 */
export declare const CHECK_MS = 1500;
export declare const DOUBT_MS = 500;
export declare const RECEIPT_MS = 3000;
export declare const LATE_MS = 1000;
export declare const BACKGROUND_AFTER_MS = 30000;
export declare const RENEW_AGAIN_MS = 5000;
declare const Holdfast_base: new () => EventsOf<HoldfastEvents>;
/**
 * A connection that follows sessions. Its `connection` event says that `connection` has changed.
 *
 * @example
 * const holdfast = new Holdfast({ url: "/ws/" });
 * holdfast.connect();
 * const session = holdfast.session(id);
 */
export declare class Holdfast extends /** @type {new () => EventsOf<HoldfastEvents>} */ /** @type {new () => EventsOf<HoldfastEvents>} */ Holdfast_base {
    #private;
    /**
     * @param {object} [options]
     * @param {string} [options.url] of the server's WebSocket, absolute or relative to the page
     * @param {string} [options.api] of its HTTP API, likewise
     * @param {import("./token.js").TokenProvider|null} [options.token] gives a token of the person's, whenever one is needed;
     *   null where the site's own cookies say who it is
     * @param {Storage|null} [options.storage] remembers which transport worked
     * @param {ReturnType<typeof sharing>} [options.share] keeps unsent signals over a reload, with the other tabs
     * @param {typeof globalThis.WebSocket|null} [options.WebSocket] null to do without; this and the next four are for tests
     * @param {typeof globalThis.fetch|null} [options.fetch] null to do without
     * @param {import("./timers.js").Clock} [options.clock]
     * @param {() => number} [options.random]
     * @param {Window & typeof globalThis} [options.page]
     */
    constructor({ url, api, token, page, storage, share, WebSocket, fetch, clock, random, }?: {
        url?: string;
        api?: string;
        token?: import("./token.js").TokenProvider | null;
        storage?: Storage | null;
        share?: ReturnType<typeof sharing>;
        WebSocket?: typeof globalThis.WebSocket | null;
        fetch?: typeof globalThis.fetch | null;
        clock?: import("./timers.js").Clock;
        random?: () => number;
        page?: Window & typeof globalThis;
    });
    connect(): void;
    /** Retry now, because a person asks for it. */
    retry(): void;
    close(): void;
    /**
     * `state`; `reason` (`{code, message}` or null) why it isn't connected; `transport` that carries frames, or null;
     * `transportReason` (`{code, message}` or null) why it isn't a better one; and times in ms since 1970, or null: `since`
     * it is in the state, `transportSince` it uses the transport, `lostAt` the last good connection was lost, `retryAt` the
     * next retry is due, `lastGoodAt` the last frame came. `actor`: who the latest one acted as, to know one's own signals.
     */
    get connection(): {
        transport: import("./transport-choice.js").TransportName | null;
        transportReason: import("./transport-choice.js").Why | null;
        transportSince: number | null;
        state: import("./connection-state.js").StateName;
        since: number;
        lostAt: number | null;
        retryAt: number | null;
        reason: import("./connection-state.js").Reason | null;
        lastGoodAt: number | null;
        actor: string | null;
    };
    /** Follow a session. @param {string} id @returns {Session} the same for the same id */
    session(id: string): Session;
}
export {};
