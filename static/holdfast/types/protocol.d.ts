export type Frame = {
    type: string;
} & Record<string, any>;
export type ProtocolError = {
    code: string;
    message: string;
    retryable: boolean;
};
export type Acceptance = {
    id: string;
    status: "accepted";
    serial: number;
};
export type Receipt = Acceptance | {
    id: string;
    status: "rejected";
    error: ProtocolError;
};
export type SignalRecord = {
    id: string;
    kind: "message" | "steer" | "cancel" | "approve" | "deny" | "tool-result" | "retry";
    status: "accepted" | "delivered" | "applied" | "rejected" | "expired";
    code: string | null;
    reason: string | null;
    /**
     * who sent it
     */
    actor: string;
    /**
     * ms
     */
    at: number;
    message: string | null;
    /**
     * what everybody may know of it
     */
    payload: Record<string, any>;
};
export type Limits = {
    frame_bytes: number;
    window_bytes: number;
    ack_bytes: number;
    ack_ms: number;
    sessions: number;
};
export declare const HELD_MESSAGES = 64;
/**
 * What a close code means, to a client that missed the error frame before it.
 * @param {number} [closeCode]
 * @returns {ProtocolError|undefined}
 */
export declare function errorOfClose(closeCode?: number): ProtocolError | undefined;
/** @param {Frame} frame an `error` @returns {ProtocolError} */
export declare function errorOf({ code, message, retryable }: Frame): ProtocolError;
/** @param {string} code of an error */
export declare function endsConnection(code: string): boolean;
/** @param {string} text @returns {Frame|null} null for what isn't a frame */
export declare function parseFrame(text: string): Frame | null;
/** A cursor's parts, for continuity alone. @param {string} cursor @returns {{epoch: string, serial: number}} */
export declare function parseCursor(cursor: string): {
    epoch: string;
    serial: number;
};
/** Replaces halves of surrogate pairs, which the server refuses, by U+FFFD. @param {string} text */
export declare function wellFormed(text: string): string;
/** @param {string} text @returns {number} its bytes in UTF-8, as limits count them */
export declare function byteLength(text: string): number;
