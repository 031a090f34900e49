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
     * sender
     */
    actor: string;
    /**
     * issuer of the sender's token
     */
    issued_by?: string;
    /**
     * ms
     */
    at: number;
    message: string | null;
    /**
     * its public fields
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
 * The error of a close code, for a client that missed the error frame before it.
 * @param {number} [closeCode]
 * @returns {ProtocolError|undefined}
 */
export declare function errorOfClose(closeCode?: number): ProtocolError | undefined;
/** @param {Frame} frame an `error` @returns {ProtocolError} */
export declare function errorOf({ code, message, retryable }: Frame): ProtocolError;
/** @param {string} code of an error */
export declare function endsConnection(code: string): boolean;
/** @param {string} text @returns {Frame|null} null if it is not a frame */
export declare function parseFrame(text: string): Frame | null;
/** Split a cursor, to check continuity. @param {string} cursor @returns {{epoch: string, serial: number}} */
export declare function parseCursor(cursor: string): {
    epoch: string;
    serial: number;
};
/** Replace lone surrogates, which the server refuses, by U+FFFD. @param {string} text */
export declare function wellFormed(text: string): string;
/** @param {string} text @returns {number} bytes in UTF-8, the unit of the limits */
export declare function byteLength(text: string): number;
/** @param {ProtocolError} error @returns {Error & ProtocolError} */
export declare function asError(error: ProtocolError): Error & ProtocolError;
/**
 * A replacer for JSON.stringify, which turns NaN and infinity into null by itself.
 * @param {string} _
 * @param {unknown} value
 */
export declare function storable(_: string, value: unknown): unknown;
export declare const SIGNAL_ID: RegExp;
export declare const TOO_LARGE: ProtocolError;
export declare const NO_APPROVAL: ProtocolError;
export declare const BAD_ID: ProtocolError;
