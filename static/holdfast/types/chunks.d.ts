export type Chunk = import("./message.js").Chunk;
export type Message = import("./message.js").FoldedMessage;
export type Source = {
    find: () => Message | undefined;
    gone: () => import("./protocol.js").ProtocolError | null;
    followers: Set<(event: import("./fold.js").Event | null) => void>;
};
export type ChunkOptions = {
    signal?: AbortSignal;
    replay?: boolean;
    until?: (message: Message) => boolean;
};
/**
 * Yield the chunks of a message, which may still have to begin, until it ends. Their fold is the message.
 * @param {string} id of the message
 * @param {Source} source
 * @param {ChunkOptions} [options]
 * @returns {AsyncGenerator<Chunk, void, undefined>}
 */
export declare function chunksOf(id: string, source: Source, { signal, replay, until }?: ChunkOptions): AsyncGenerator<Chunk, void, undefined>;
