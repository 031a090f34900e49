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
};
export type Patch = Omit<Message, "revision"> & PatchStart;
export type PatchStart = {
    from: number;
    at: number;
};
/**
 * Apply an event to the messages of its session, by id.
 * @param {Map<string, Message>} messages
 * @param {Event} event
 * @throws {FoldError} and has changed nothing then
 */
export declare function fold(messages: Map<string, Message>, event: Event): void;
/**
 * The message that a `start` or `message` chunk creates.
 * @param {Event} event
 * @returns {Message}
 */
export declare function begin({ serial, message: id, chunk, at }: Event): Message;
/**
 * Apply a chunk to a message, in place: it gets its next `revision`.
 * @param {Message} message
 * @param {number} serial
 * @param {Chunk} chunk its values become the message's
 * @throws {FoldError} and has changed nothing then
 */
export declare function apply(message: Message, serial: number, chunk: Chunk): void;
/** Whether it creates its message. @param {Chunk} chunk */
export declare function begins({ type }: Chunk): boolean;
/** @param {Message} message */
export declare function ended(message: Message): boolean;
/**
 * The length of each part's text in UTF-16 units, 0 for other parts: what an attach says that this client has.
 * @param {Message} message
 * @returns {number[]}
 */
export declare function held(message: Message): number[];
/**
 * The state that an element of an `attached` frame describes.
 * @param {Message|undefined} have what this client has of the message
 * @param {Patch} patch
 * @returns {Message} a new object
 * @throws {FoldError} `reset` if the patch builds on what `have` hasn't
 */
export declare function applyPatch(have: Message | undefined, { from, at, ...patch }: Patch): Message;
