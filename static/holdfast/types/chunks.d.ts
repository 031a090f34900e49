export type Chunk = import("./message.js").Chunk;
export type Message = import("./message.js").FoldedMessage;
export type Source = {
    find: () => Message | undefined;
    gone: () => import("./protocol.js").ProtocolError | null;
    followers: Set<(event: import("./fold.js").Event | null) => void>;
};
/**
 * Yield the chunks of a message, which may still have to begin, until it ends. Their fold is the message.
 * @param {string} id of the message
 * @param {Source} source
 * @param {AbortSignal} [signal] ends the stream
 * @returns {AsyncGenerator<Chunk, void, undefined>}
 */
export declare function chunksOf(id: string, source: Source, signal?: AbortSignal): AsyncGenerator<Chunk, void, undefined>;
