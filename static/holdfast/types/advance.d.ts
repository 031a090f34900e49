export type Chunk = import("./message.js").Chunk;
export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
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
export declare function advance(have: Message, now: Message): Chunk[];
/** Whether two JSON values are equal. @param {any} a @param {any} b @returns {boolean} */
export declare function same(a: any, b: any): boolean;
