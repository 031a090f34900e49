export type Frame = import("../protocol.js").Frame;
/** @typedef {import("../protocol.js").Frame} Frame */
/**
 * @param {import("./http.js").Post} post
 * @param {import("./http.js").ExchangeRequest} asked
 * @param {(frame: Frame) => void} deliver
 */
export declare function poll(post: import("./http.js").Post, { attach, waitMs, abort }: import("./http.js").ExchangeRequest, deliver: (frame: Frame) => void): Promise<void>;
