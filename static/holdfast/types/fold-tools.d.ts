export type Chunk = import("./message.js").Chunk;
export type ChunkHandler = import("./message.js").ChunkHandler;
export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
/**
 * Keep the raw text of an input that never became available: nothing else tells what it was.
 * @param {Message} message
 * @param {string} call
 */
export declare function closeInput(message: Message, call: string): void;
/** @type {Record<string, ChunkHandler>} */
export declare const toolHandlers: Record<string, ChunkHandler>;
