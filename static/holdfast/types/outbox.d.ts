export type Message = import("./message.js").Message;
export type ProtocolError = import("./protocol.js").ProtocolError;
export type Receipt = import("./protocol.js").Receipt;
export type SignalRecord = import("./protocol.js").SignalRecord;
export type SharedSignals = import("./shared-signals.js").SharedSignals;
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
export declare const RECEIPT_TIMEOUT_MS = 10000;
export declare const LOCK_PATIENCE_MS = 5000;
export declare const MAX_SIGNALS = 100;
export declare const MAX_BYTES = 1000000;
export type NewMessage = {
    parts: {
        type: string;
        [field: string]: any;
    }[];
    metadata?: object;
    id?: string;
};
export type KeptSignal = {
    id: string;
    kind: SignalRecord["kind"];
    payload: Record<string, any>;
    /**
     * creation time, ms; the sort key
     */
    at: number;
    /**
     * permanent refusal
     */
    error: ProtocolError | null;
};
export type Progress = {
    state: "waiting" | "sent" | "accepted" | "rejected";
    /**
     * time of the next sending, ms
     */
    due: number;
    /**
     * retryable refusals so far
     */
    refusals: number;
    /**
     * of the stored signal, once accepted; 0 before
     */
    serial: number;
    /**
     * greater after each change
     */
    revision: number;
};
export type Signal = KeptSignal & Progress;
export type UnsentMessage = Pick<Message, "id" | "role" | "reason" | "metadata" | "created_at" | "parts" | "revision"> & {
    status: "waiting" | "sending" | "failed";
};
export type UnsentSignal = Omit<SignalRecord, "status" | "actor"> & {
    status: UnsentMessage["status"];
    actor: null;
};
export declare class Outbox {
    #private;
    /**
     * Signals with these ids were added, removed or changed; or this tab got the lock.
     * @type {(ids: string[]) => void}
     */
    onchange: (ids: string[]) => void;
    /** A signal has its receipt, which may have come to another tab. @type {(receipt: Receipt) => void} */
    onsettled: (receipt: Receipt) => void;
    /** @param {SharedSignals} shared with other tabs and the next page */
    constructor(shared: SharedSignals);
    /**
     * @param {Pick<KeptSignal, "id"|"kind"|"payload">} signal
     * @param {number} now ms
     * @throws {Error} `outbox_full`
     */
    add({ id, kind, payload }: Pick<KeptSignal, "id" | "kind" | "payload">, now: number): void;
    /** @returns {Signal[]} in order */
    get signals(): Signal[];
    /** Time at which `next` has a signal, ms; Infinity if it needs an event first. */
    get deadline(): number;
    /**
     * Take the next signal to send, marked as sent; null if there is none, or this tab may not send.
     * @param {number} now ms
     */
    next(now: number): Signal | null;
    /** Requeue signals in flight, which may be lost, with the same ids; release the lock for other tabs. */
    disconnected(): void;
    /** @param {string} id @param {number} serial of the stored signal */
    accepted(id: string, serial: number): void;
    /**
     * Record a refusal. A retryable one keeps the signal waiting; a permanent one keeps written text until it is
     * dismissed.
     * @param {string} id
     * @param {ProtocolError} error
     * @param {number} now ms
     * @param {number} random from 0 to 1
     */
    rejected(id: string, error: ProtocolError, now: number, random: number): void;
    /** Fail every signal and keep none: the session is gone. @param {ProtocolError} error */
    failAll(error: ProtocolError): void;
    /** Remove a failed signal. @param {string} id */
    dismiss(id: string): void;
    /** Remove accepted signals up to this serial: the session shows them. @param {number} serial @returns {string[]} ids */
    forget(serial: number): string[];
    /** Close this tab's end; unsent signals are left to other tabs, or to the next visit. */
    close(): void;
}
/** @param {{kind: string}} signal */
export declare function isDecision({ kind }: {
    kind: string;
}): boolean;
export declare const REFUSED: string[];
/** @param {{status: string}} signal whether something may still come of it */
export declare function isUnfinished({ status }: {
    status: string;
}): boolean;
/** @param {Signal} signal @returns {UnsentMessage} */
export declare function asMessage({ id, state, at, payload, error, revision }: Signal): UnsentMessage;
/** @param {Signal} signal @returns {UnsentSignal} */
export declare function asSignal({ id, kind, state, at, payload, error }: Signal): UnsentSignal;
export declare function newId(): string;
