export type Event = import("./fold.js").Event;
export type Frame = import("./protocol.js").Frame;
export type Limits = import("./protocol.js").Limits;
export type Message = import("./message.js").FoldedMessage;
export type SignalRecord = import("./protocol.js").SignalRecord;
/** @typedef {import("./fold.js").Event} Event */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
export declare const ATTACH_TIMEOUT_MS = 10000;
export declare const TAIL_GRACE_MS = 1000;
export type SignalEvent = {
    serial: number;
    signal: SignalRecord;
};
export type StateUpdate = {
    /**
     * frames to send
     */
    send: Frame[];
    /**
     * ids of changed messages
     */
    changed: Set<string>;
    /**
     * ids of changed signals
     */
    signals: Set<string>;
    /**
     * why the state was replaced
     */
    reset?: string;
    /**
     * size and duration of a resume
     */
    caughtUp?: {
        events: number;
        ms: number;
    };
    /**
     * those applied, of messages; null if the state came without its events
     */
    events?: Event[] | null;
};
/** @typedef {{serial: number, signal: SignalRecord}} SignalEvent */
/**
 * @typedef {object} StateUpdate
 * @property {Frame[]} send frames to send
 * @property {Set<string>} changed ids of changed messages
 * @property {Set<string>} signals ids of changed signals
 * @property {string} [reset] why the state was replaced
 * @property {{events: number, ms: number}} [caughtUp] size and duration of a resume
 * @property {Event[]|null} [events] those applied, of messages; null if the state came without its events
 */
export declare class SessionState {
    #private;
    /** @type {Map<string, Message>} in the order of first_serial */
    messages: Map<string, Message>;
    /** @type {Map<string, SignalRecord>} */
    signals: Map<string, SignalRecord>;
    /** @type {string|null} */
    cursor: string | null;
    title: string;
    older: boolean;
    /** Whether it has replaced messages too. */
    keepsReplaced: boolean;
    /**
     * While earlier messages are loaded: serials of the latest changes of messages that are not here, by id.
     * @type {Map<string, number>|null}
     */
    missed: Map<string, number> | null;
    /** @param {string} id of the session @param {boolean} [keepReplaced] whether it has replaced messages too */
    constructor(id: string, keepReplaced?: boolean);
    get serial(): number;
    /** Attach on a new connection; what the old one owed is void. @param {Limits} limits @param {number} now ms */
    connected(limits: Limits, now: number): StateUpdate;
    /** @param {number} now ms @returns {StateUpdate} */
    attach(now: number): StateUpdate;
    /** The frame that asks for everything missing here. */
    get attachFrame(): {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor?: undefined;
        held?: undefined;
    } | {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor: string;
        held?: undefined;
    } | {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor: string;
        held: {
            [k: string]: number[];
        };
    };
    /**
     * Retry the attach later: the server refused it for now.
     * @param {number} now ms
     * @param {number} random from 0 to 1
     * @param {number} [retryAfterMs] as the server says
     */
    attachRefused(now: number, random: number, retryAfterMs?: number): void;
    get isAttaching(): boolean;
    /** Attach without a cursor, to replace the state. @param {number} now ms */
    attachAfresh(now: number): StateUpdate;
    /** @param {Frame} frame @param {number} bytes of the frame @param {number} now ms @returns {StateUpdate} */
    receive(frame: Frame, bytes: number, now: number): StateUpdate;
    /** Time of the next `tick`, ms. */
    get deadline(): number;
    /** @param {number} now ms @returns {StateUpdate} */
    tick(now: number): StateUpdate;
}
