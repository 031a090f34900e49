export type Part = {
    type: string;
    [field: string]: any;
};
export type Chunk = {
    type: string;
    [field: string]: any;
};
export type ChunkHandler = (message: Message, chunk: Chunk) => void;
export type Message = {
    id: string;
    role: "user" | "assistant" | "system";
    status: "streaming" | "complete" | "cancelled" | "failed" | "interrupted";
    reason: string | null;
    metadata: object | null;
    first_serial: number;
    last_serial: number;
    created_at: number;
    parts: Part[];
    open: {
        text: Record<string, number>;
        reasoning: Record<string, number>;
        tools: Record<string, {
            part: number;
            text: string;
        }>;
    };
    revision: number;
};
/** A part of an AI SDK `UIMessage`. @typedef {{type: string, [field: string]: any}} Part */
/** One of PROTOCOL.md §3. @typedef {{type: string, [field: string]: any}} Chunk */
/** What a chunk does to a message. @typedef {(message: Message, chunk: Chunk) => void} ChunkHandler */
/**
 * PROTOCOL.md §3, and `revision`, which grows with each change of it here. Times are in milliseconds since 1970, UTC.
 * @typedef {object} Message
 * @property {string} id
 * @property {"user"|"assistant"|"system"} role
 * @property {"streaming"|"complete"|"cancelled"|"failed"|"interrupted"} status
 * @property {string|null} reason
 * @property {object|null} metadata
 * @property {number} first_serial
 * @property {number} last_serial
 * @property {number} created_at
 * @property {Part[]} parts
 * @property {{text: Record<string, number>, reasoning: Record<string, number>,
 *   tools: Record<string, {part: number, text: string}>}} open
 * @property {number} revision
 */
/** A chunk or patch that doesn't fit what is here. */
export declare class FoldError extends Error {
    code: string;
    /** @param {string} code as the server's errors have it @param {string} detail */
    constructor(code: string, detail: string);
}
/**
 * A copy of what is open, by default nothing. Without a prototype, any id is an ordinary key.
 * @param {Partial<Message["open"]>} [open]
 * @returns {Message["open"]}
 */
export declare function openOf({ text, reasoning, tools }?: Partial<Message["open"]>): Message["open"];
/** @param {Message} message @param {Part} part @returns {number} the new part's index */
export declare function addPart(message: Message, part: Part): number;
/** @param {Message} message @returns {number} the index of the current step's first part */
export declare function stepStart(message: Message): number;
/**
 * Copy the fields of these names that the chunk has.
 * @template {Record<string, any>} Target
 * @param {Target} to
 * @param {Chunk} from
 * @param {string[]} names
 */
export declare function copyFields<Target extends Record<string, any>>(to: Target, from: Chunk, names: string[]): Target;
/** @param {Chunk} chunk */
export declare function unknownPart(chunk: Chunk): FoldError;
