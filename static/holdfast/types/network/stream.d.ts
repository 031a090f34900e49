export type Frame = import("../protocol.js").Frame;
/** @typedef {import("../protocol.js").Frame} Frame */
/**
 * @param {import("./http.js").Post} post
 * @param {import("./http.js").ExchangeRequest} asked
 * @param {(frame: Frame) => void} deliver
 */
export declare function stream(post: import("./http.js").Post, { attach, abort }: import("./http.js").ExchangeRequest, deliver: (frame: Frame) => void): Promise<void>;
/** The data of server-sent events. Comments, names and ids are for others. */
export declare class EventParser {
    #private;
    /** @param {string} text the next piece, cut anywhere @returns {string[]} the data of events that it completes */
    feed(text: string): string[];
}
