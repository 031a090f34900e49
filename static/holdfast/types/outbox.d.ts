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
export declare const MOST_SIGNALS = 100;
export declare const MOST_BYTES = 1000000;
export type KeptSignal = {
    id: string;
    kind: SignalRecord["kind"];
    payload: Record<string, any>;
    /**
     * when it was given, ms; what orders them
     */
    at: number;
    /**
     * why it was refused for good
     */
    error: ProtocolError | null;
};
export type Progress = {
    state: "waiting" | "sent" | "accepted" | "rejected";
    /**
     * when to send it (again), ms
     */
    due: number;
    /**
     * retryable rejections so far
     */
    refusals: number;
    /**
     * where it was stored, once accepted; 0 before
     */
    serial: number;
    /**
     * grows with each change
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
    /** Signals with these ids came, went or changed, or this tab has the lock. @type {(ids: string[]) => void} */
    onchange: (ids: string[]) => void;
    /** A signal has its final answer, which another tab may have got. @type {(receipt: Receipt) => void} */
    onsettled: (receipt: Receipt) => void;
    /** @param {SharedSignals} shared with the other tabs, and kept over a reload */
    constructor(shared: SharedSignals);
    /**
     * @param {Pick<KeptSignal, "id"|"kind"|"payload">} signal
     * @param {number} now ms
     * @throws {Error} `outbox_full`
     */
    add({ id, kind, payload }: Pick<KeptSignal, "id" | "kind" | "payload">, now: number): void;
    /** @returns {Signal[]} in order */
    get signals(): Signal[];
    /** When `next` has something, ms; Infinity when it needs an event first. */
    get deadline(): number;
    /**
     * A signal to send now, marked as sent; null when there is none, or before this tab may send.
     * @param {number} now ms
     */
    next(now: number): Signal | null;
    /** What was on its way may have been lost: it is sent again, with the same id. Meanwhile another tab may send. */
    disconnected(): void;
    /** @param {string} id @param {number} serial where it is stored */
    accepted(id: string, serial: number): void;
    /**
     * A retryable refusal keeps it waiting. One for good keeps what a person wrote to be seen, until it is dismissed.
     * @param {string} id
     * @param {ProtocolError} error
     * @param {number} now ms
     * @param {number} random from 0 to 1
     */
    rejected(id: string, error: ProtocolError, now: number, random: number): void;
    /** The session is gone: nothing of it is kept. @param {ProtocolError} error */
    failAll(error: ProtocolError): void;
    /** Forget one that was refused. @param {string} id */
    dismiss(id: string): void;
    /** Forget what was accepted up to this serial: it is in the session. @param {number} serial */
    forget(serial: number): void;
    /** Leave what isn't sent to other tabs, and to the next time. */
    close(): void;
}
/** @param {{kind: string}} signal */
export declare function isDecision({ kind }: {
    kind: string;
}): boolean;
/** @param {Signal} signal @returns {UnsentMessage} */
export declare function asMessage({ id, state, at, payload, error, revision }: Signal): UnsentMessage;
/** @param {Signal} signal @returns {UnsentSignal} */
export declare function asSignal({ id, kind, state, at, payload, error }: Signal): UnsentSignal;
