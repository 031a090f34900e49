import { Session } from "./session.js";
export type Frame = import("./protocol.js").Frame;
export type Limits = import("./protocol.js").Limits;
export type TransportName = import("./transport-choice.js").TransportName;
export type HoldfastEvents = import("./events.js").HoldfastEvents;
export type EventsOf<Details extends object> = import("./events.js").EventsOf<Details>;
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @typedef {import("./events.js").HoldfastEvents} HoldfastEvents */
/** @template {object} Details @typedef {import("./events.js").EventsOf<Details>} EventsOf */
export declare const CHECK_MS = 1500;
export declare const DOUBT_MS = 500;
export declare const RECEIPT_MS = 3000;
export declare const LATE_MS = 1000;
export declare const BACKGROUND_AFTER_MS = 30000;
export declare const RENEW_AGAIN_MS = 5000;
declare const Holdfast_base: new () => EventsOf<HoldfastEvents>;
/**
 * Client of one Holdfast server: a connection that follows sessions. Emits `HoldfastEvents`.
 *
 * @example
 * const holdfast = new Holdfast({ url: "/ws/" });
 * holdfast.connect();
 * const session = holdfast.session(id);
 */
export declare class Holdfast extends /** @type {new () => EventsOf<HoldfastEvents>} */ /** @type {new () => EventsOf<HoldfastEvents>} */ Holdfast_base {
    #private;
    /** Whether unsent signals outlive this page; null until known. @type {boolean|null} */
    keepsUnsent: boolean | null;
    /**
     * @param {object} [options]
     * @param {string} [options.url] address of the server's WebSocket, absolute or relative to the page
     * @param {string} [options.api] address of its HTTP API, likewise, with the last slash
     * @param {import("./token.js").TokenProvider|null} [options.token] returns the user's token, called whenever
     *   one is needed; null to authenticate by the site's cookies
     * @param {Storage|null} [options.storage] remembers the transport that worked
     * @param {import("./shared-signals.js").Sharing} [options.share] persists unsent signals and shares them with other
     *   tabs
     * @param {typeof globalThis.WebSocket|null} [options.WebSocket] null for HTTP only; this and the next four are for
     *   tests
     * @param {typeof globalThis.fetch|null} [options.fetch] null for WebSocket only
     * @param {import("./timers.js").Clock} [options.clock]
     * @param {() => number} [options.random]
     * @param {Window & typeof globalThis} [options.page]
     */
    constructor({ url, api, token, page, storage, WebSocket, fetch, clock, share, random, }?: {
        url?: string;
        api?: string;
        token?: import("./token.js").TokenProvider | null;
        storage?: Storage | null;
        share?: import("./shared-signals.js").Sharing;
        WebSocket?: typeof globalThis.WebSocket | null;
        fetch?: typeof globalThis.fetch | null;
        clock?: import("./timers.js").Clock;
        random?: () => number;
        page?: Window & typeof globalThis;
    });
    /** Open the connection. */
    connect(): void;
    /** Retry now, on request of the user. */
    retry(): void;
    /** Close the connection. Sessions stay, and go on after the next `connect()`. */
    close(): void;
    /**
     * Snapshot of the connection. `reason` (`{code, message}` or null): why it is not connected. `transport`: the one in
     * use, or null. `transportReason` (`{code, message}` or null): why no better one is used. Times are ms since 1970, or
     * null: `since` (start of the state), `transportSince`, `lostAt` (loss of the last good connection), `retryAt` (next
     * retry), `lastGoodAt` (last frame). `actor`: the identity that the latest connection acted as, to recognize one's
     * own signals.
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
    /**
     * Follow a session: the same object for the same id, until each caller has called its `detach()`. `replaced`: keep
     * replaced messages too.
     * @param {string} id @param {{replaced?: boolean}} [options] @returns {Session}
     */
    session(id: string, options?: {
        replaced?: boolean;
    }): Session;
    /**
     * Create a session, or find the one with this `external_id`. Rejects with `code`, `message` and `offline` (whether the
     * server could not be reached).
     * @param {{external_id?: string, title?: string, agent?: string, policy?: string}} [fields]
     */
    createSession(fields?: {
        external_id?: string;
        title?: string;
        agent?: string;
        policy?: string;
    }): Promise<import("./network/rest.js").SessionRecord>;
    /** A page of the user's sessions, newest first. @param {string|null} [next] `next` of the page before */
    listSessions(next?: string | null): Promise<import("./network/rest.js").SessionPage>;
}
export {};
