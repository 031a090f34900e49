export type Chunk = import("./message.js").Chunk;
export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
/**
 * Return chunks that fold to the message. The first creates it; the last ends it if it has ended.
 * @param {Message} message @returns {Chunk[]}
 */
export declare function unfold(message: Message): Chunk[];
/** Return the chunk of the message's end, if it has ended. @param {Message} message @returns {Chunk[]} */
export declare function endOf(message: Message): Chunk[];
/** Return the chunks of the parts from an index on. @param {Message} message @param {number} [from] */
export declare function partChunks(message: Message, from?: number): import("./message.js").Chunk[];
/** Raw text of each input that is still streaming, by the index of its part. @param {Message} message */
export declare function rawInputs({ open }: Message): Map<number, string>;
/** Return the chunks of a call's input. @param {Part} part @param {string} [raw] text of one that is still streaming */
export declare function inputChunks(part: Part, raw?: string): ({
    type: string;
} | {
    type: string;
    toolCallId: any;
    inputTextDelta: any;
})[];
/** Return what came of a call's complete input: its approval and its outcome. @param {Part} part @returns {Chunk[]} */
export declare function decisionChunks(part: Part): Chunk[];
/** @param {Part} part @returns {Chunk} */
export declare function available(part: Part): Chunk;
/** @param {Record<string, any>} approval a decided one @returns {Chunk} */
export declare function responseChunk(approval: Record<string, any>): Chunk;
/** Return the chunk of a call's outcome, if it has one. @param {Part} part @returns {Chunk[]} */
export declare function outcomeChunks(part: Part): Chunk[];
/** @param {Record<string, any>} from @param {string[]} names @returns {Record<string, any>} those fields that it has */
export declare function pick(from: Record<string, any>, ...names: string[]): Record<string, any>;
