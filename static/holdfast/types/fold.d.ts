import { FoldError } from "./message.js";
export { FoldError };
export type Chunk = import("./message.js").Chunk;
export type ChunkHandler = import("./message.js").ChunkHandler;
export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
export type Event = {
    serial: number;
    message: string;
    chunk: Chunk;
    at?: number;
    parent?: string | null;
    continues?: string;
    replaces?: string[];
};
export type Patch = Omit<Message, "revision"> & PatchStart;
export type PatchStart = {
    from: number;
    at: number;
};
/**
 * Apply an event to the messages of its session, a map by id.
 * @param {Map<string, Message>} messages
 * @param {Event} event
 * @param {boolean} [keepReplaced] whether messages that it replaces are marked, not dropped
 * @throws {FoldError} without having changed anything
 */
export declare function fold(messages: Map<string, Message>, event: Event, keepReplaced?: boolean): void;
/**
 * Create the message of a `start` or `message` chunk.
 * @param {Event} event
 * @returns {Message}
 */
export declare function begin({ serial, message: id, chunk, at, parent, continues }: Event): Message;
/**
 * Apply a chunk to a message, in place: it gets its next `revision`.
 * @param {Message} message
 * @param {number} serial
 * @param {Chunk} chunk owned by the message from now on
 * @throws {FoldError} without having changed anything
 */
export declare function apply(message: Message, serial: number, chunk: Chunk): void;
/** Whether the chunk creates its message. @param {Chunk} chunk */
export declare function begins({ type }: Chunk): boolean;
/** @param {Message} message */
export declare function ended(message: Message): boolean;
/**
 * The text length of each part in UTF-16 units, 0 for parts without text: the `held` of an attach.
 * @param {Message} message
 * @returns {number[]}
 */
export declare function held(message: Message): number[];
/**
 * Apply a patch, an element of an `attached` frame.
 * @param {Message|undefined} have the message as held here
 * @param {Patch} patch
 * @returns {Message} a new object
 * @throws {FoldError} `reset` if the patch builds on parts that `have` lacks
 */
export declare function applyPatch(have: Message | undefined, { from, at, ...patch }: Patch): Message;
