export type Chunk = import("./message.js").Chunk;
export type ChunkHandler = import("./message.js").ChunkHandler;
export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
/**
 * Close a streaming input, and keep its raw text: it may never become available in another form.
 * @param {Message} message
 * @param {string} call
 */
export declare function closeInput(message: Message, call: string): void;
/** @type {Record<string, ChunkHandler>} */
export declare const toolHandlers: Record<string, ChunkHandler>;
