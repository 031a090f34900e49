// Long poll: the server answers at the first event, then the next request follows (PROTOCOL.md §2).

import { parseJson } from "../json.js";

/** @typedef {import("../protocol.js").Frame} Frame */

/**
 * @param {import("./http.js").Post} post
 * @param {import("./http.js").ExchangeRequest} asked
 * @param {(frame: Frame) => void} deliver
 */
export async function poll(post, { attach, waitMs, abort }, deliver) {
  const response = await post("poll/", { attach, wait_ms: waitMs }, abort);
  const { frames } = parseJson(await response.text());
  for (const frame of frames) deliver(frame);
}
