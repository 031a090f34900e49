export type Frame = import("../protocol.js").Frame;
/** @typedef {import("../protocol.js").Frame} Frame */
/**
 * @param {import("./http.js").Post} post
 * @param {import("./http.js").ExchangeRequest} asked
 * @param {(frame: Frame) => void} deliver
 */
export declare function stream(post: import("./http.js").Post, { attach, abort }: import("./http.js").ExchangeRequest, deliver: (frame: Frame) => void): Promise<void>;
/** Parser of server-sent events: their data only, without comments, names and ids. */
export declare class EventParser {
    #private;
    /** @param {string} text next piece, cut anywhere @returns {string[]} data of the events that it completes */
    feed(text: string): string[];
}
