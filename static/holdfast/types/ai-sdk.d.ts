export type UIMessage = import("ai").UIMessage;
export type UIMessageChunk = import("ai").UIMessageChunk;
export type ChatTransport<Any extends UIMessage> = import("ai").ChatTransport<Any>;
export type Chunk = import("./message.js").Chunk;
export type FoldedMessage = import("./message.js").FoldedMessage;
export type FoldedPart = import("./message.js").FoldedPart;
export type Session = import("./session.js").Session;
/**
 * The chat's id is the session's, unless `session` says otherwise. Aborting (stop, unmounting) ends the stream and nothing else:
 * call `cancel(chatId)` to stop the agent.
 * @template {UIMessage} [Message=UIMessage]
 * @implements {ChatTransport<Message>}
 */
export declare class HoldfastChatTransport<Message extends UIMessage = UIMessage> implements ChatTransport<Message> {
    #private;
    /** A resumed stream begins with all that there is of the response. */
    resumeStreamIsReplay: boolean;
    /**
     * @param {import("./client.js").Holdfast} holdfast
     * @param {{session?: (chatId: string) => string|Promise<string>}} [options] `session` returns the id of a chat's session
     */
    constructor(holdfast: import("./client.js").Holdfast, { session }?: {
        session?: (chatId: string) => string | Promise<string>;
    });
    /** The session of a chat, followed until `close`. @param {string} chatId @returns {Promise<Session>} */
    session(chatId: string): Promise<Session>;
    /** Stop the agent. @param {string} chatId */
    cancel(chatId: string): Promise<import("./protocol.js").Acceptance>;
    /** Stop following every session. */
    close(): void;
    /**
     * @param {Parameters<ChatTransport<Message>["sendMessages"]>[0]} request
     * @returns {Promise<ReadableStream<UIMessageChunk>>}
     */
    sendMessages({ trigger, chatId, messageId, messages, abortSignal }: Parameters<ChatTransport<Message>["sendMessages"]>[0]): Promise<ReadableStream<UIMessageChunk>>;
    /**
     * @param {Parameters<ChatTransport<Message>["reconnectToStream"]>[0]} request
     * @returns {Promise<ReadableStream<UIMessageChunk>|null>} null if no response is being written
     */
    reconnectToStream({ chatId, abortSignal }: Parameters<ChatTransport<Message>["reconnectToStream"]>[0]): Promise<ReadableStream<UIMessageChunk> | null>;
}
/**
 * Return a chunk of a response as the AI SDK takes it: it knows no `interrupt`, and of a whole `message` there is no stream.
 * @param {Chunk} chunk @returns {UIMessageChunk|null}
 */
export declare function forAiSdk(chunk: Chunk): UIMessageChunk | null;
