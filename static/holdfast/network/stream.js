// HTTP streaming: one endless answer of server-sent events (PROTOCOL.md §2).

import { parseFrame } from "../protocol.js";

/** @typedef {import("../protocol.js").Frame} Frame */

/**
 * @param {import("./http.js").Post} post
 * @param {import("./http.js").ExchangeRequest} asked
 * @param {(frame: Frame) => void} deliver
 */
export async function stream(post, { attach, abort }, deliver) {
  const { body } = await post("stream/", { attach }, abort);
  if (!body) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const data of parser.feed(value)) {
      const frame = parseFrame(data);
      if (frame) deliver(frame);
    }
  }
}

/** Parser of server-sent events: their data only, without comments, names and ids. */
export class EventParser {
  #rest = "";
  /** @type {string[]} lines of the incomplete event */
  #data = [];

  /** @param {string} text next piece, cut anywhere @returns {string[]} data of the events that it completes */
  feed(text) {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    const events = [];
    for (const line of lines) {
      if (line.startsWith("data:")) this.#data.push(line.slice(5).replace(/^ /, ""));
      if (line === "" && this.#data.length) events.push(this.#data.splice(0).join("\n"));
    }
    return events;
  }
}
