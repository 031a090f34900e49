// Advance: the chunks that bring a reader of a message from one of its states to a later one. Pure.
//
// For a reader who can't be given the chunks between the two: they are folded already. Parts that it has open go on. Where
// it holds what is no longer there, it drops its current step (`reset-step`) and gets the rest again.

import { FoldError, apply } from "./fold.js";
import { openOf, stepStart } from "./message.js";
import { orNull } from "./or-null.js";
import {
  available,
  decisionChunks,
  endOf,
  inputChunks,
  outcomeChunks,
  partChunks,
  pick,
  rawInputs,
  responseChunk,
} from "./unfold.js";

/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./message.js").FoldedPart} Part */

/**
 * Bring a reader's state to the message's, in place.
 * @param {Message} have an earlier state of the message, folded from the chunks that the reader was given
 * @param {Message} now
 * @returns {Chunk[]} the chunks for the reader
 * @throws {FoldError} `reset` if no chunks lead there: what the reader holds was never the message's, or it has missed what
 *   can't be told any more
 */
export function advance(have, now) {
  for (const resets of [false, true]) {
    const reader = new Reader(have, now);
    const chunks = orNull(() => reader.advance(resets));
    if (!chunks || !same(reader.state.parts, now.parts)) continue;
    Object.assign(have, reader.state);
    return chunks;
  }
  throw new FoldError("reset", `${now.id} from serial ${have.last_serial}`);
}

class Reader {
  #now;
  /** @type {Chunk[]} */
  #given = [];

  /** @param {Message} have @param {Message} now */
  constructor(have, now) {
    this.state = { ...structuredClone(have), open: openOf(structuredClone(have.open)) };
    this.#now = now;
  }

  /** @param {boolean} resets whether it drops its current step */
  advance(resets) {
    const now = this.#now;
    if (now.metadata && !same(this.state.metadata, now.metadata)) {
      this.#give({ type: "message-metadata", messageMetadata: now.metadata });
    }
    const kept = resets ? stepStart(this.state) : this.state.parts.length;
    for (let index = 0; index < kept; index += 1) this.#bringToDate(index);
    if (resets) this.#give({ type: "reset-step" });
    for (const chunk of [...partChunks(now, kept), ...endOf(now)]) this.#give(chunk);
    return this.#given;
  }

  /** @param {Chunk} chunk */
  #give(chunk) {
    apply(this.state, this.#now.last_serial, chunk);
    this.#given.push(chunk);
  }

  /** @param {string} kind @param {number} index */
  #openId(kind, index) {
    const open = kind === "text" ? this.state.open.text : this.state.open.reasoning;
    return Object.keys(open).find((id) => open[id] === index);
  }

  /** @param {Message} message @param {number} index @returns {string} */
  #rawOf(message, index) {
    return rawInputs(message).get(index) ?? message.parts[index].rawInput ?? "";
  }

  /** @param {number} index */
  #bringToDate(index) {
    const [old, later] = [this.state.parts[index], this.#now.parts[index]];
    if (same(old, later) && this.#rawOf(this.state, index) === this.#rawOf(this.#now, index)) return;
    if (old.toolCallId !== undefined) this.#bringCallToDate(old, later, index);
    else if (old.type === "text" || old.type === "reasoning") this.#bringTextToDate(old, later, index);
    else this.#give({ ...later });
  }

  /** @param {Part} old @param {Part} later @param {number} index */
  #bringTextToDate(old, later, index) {
    const { type } = old;
    const id = this.#openId(type, index);
    const delta = later.text.slice(old.text.length);
    const news = same(old.providerMetadata, later.providerMetadata) ? {} : pick(later, "providerMetadata");
    if (delta || Object.keys(news).length) this.#give({ type: `${type}-delta`, id, delta, ...news });
    if (later.state === "done") this.#give({ type: `${type}-end`, id, ...pick(later, "citations") });
  }

  /** @param {Part} old @param {Part} later @param {number} index */
  #bringCallToDate(old, later, index) {
    if (later.state === "input-streaming") return this.#bringInputToDate(old, later, index);
    const [had, has] = [old.approval, later.approval];
    const asks = has && (has.id !== had?.id || (had.approved !== undefined && has.approved === undefined));
    const decides = !asks && has?.approved !== had?.approved;
    const fields = INPUT.filter((name) => !(decides && name === PROVIDER) && !(isOutcome(later) && LASTING.includes(name)));
    const isNew = old.state === "input-streaming" || fields.some((name) => !same(old[name], later[name]));
    const isEdited = later.state === "input-available" && old.state !== later.state;
    // A decided call takes no other input; it gets other fields by its outcome.
    if ((isNew || isEdited) && had?.approved === undefined && !isOutcome(old)) this.#give(available(later));
    if (asks) this.#giveAll(decisionChunks(later));
    else if (decides) this.#giveAll([{ ...responseChunk(has), ...decidedBy(later) }, ...outcomeChunks(later)]);
    else this.#giveAll(outcomeChunks(later));
  }

  /** @param {Chunk[]} chunks */
  #giveAll(chunks) {
    for (const chunk of chunks) this.#give(chunk);
  }

  /** @param {Part} old @param {Part} later @param {number} index */
  #bringInputToDate(old, later, index) {
    const [before, after] = [this.#rawOf(this.state, index), this.#rawOf(this.#now, index)];
    const goesOn = ["state", "inputEncoding", ...INPUT].every((name) => same(old[name], later[name]));
    const isOpen = rawInputs(this.state).has(index);
    if (goesOn && after === before) return;
    if (goesOn && isOpen && after.startsWith(before)) {
      const inputTextDelta = after.slice(before.length);
      return this.#give({ type: "tool-input-delta", toolCallId: later.toolCallId, inputTextDelta });
    }
    for (const chunk of inputChunks(later, after)) this.#give(chunk);
  }
}

const PROVIDER = "callProviderMetadata";
const LASTING = ["toolMetadata", "providerExecuted"];
// Fields of a call's input.
const INPUT = ["type", "toolName", "input", "title", PROVIDER, ...LASTING];

/** Metadata that comes with a decision. @param {Part} part */
function decidedBy({ [PROVIDER]: providerMetadata }) {
  return providerMetadata && { providerMetadata };
}

/** @param {Part} part */
function isOutcome({ state }) {
  return state.startsWith("output-");
}

/** Whether two JSON values are equal. @param {any} a @param {any} b @returns {boolean} */
export function same(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}
