export type Approval = import("./approvals.js").Approval;
export type EventsOf<Details extends object> = import("./events.js").EventsOf<Details>;
export type Message = import("./message.js").Message;
export type SessionEvents = import("./events.js").SessionEvents;
export type NewMessage = import("./outbox.js").NewMessage;
export type Signal = import("./outbox.js").Signal;
export type UnsentMessage = import("./outbox.js").UnsentMessage;
export type Frame = import("./protocol.js").Frame;
export type ProtocolError = import("./protocol.js").ProtocolError;
export type Receipt = import("./protocol.js").Receipt;
export type Acceptance = import("./protocol.js").Acceptance;
export type SignalRecord = import("./protocol.js").SignalRecord;
declare const Session_base: new () => EventsOf<SessionEvents>;
/** @typedef {import("./approvals.js").Approval} Approval */
/** @template {object} Details @typedef {import("./events.js").EventsOf<Details>} EventsOf */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./events.js").SessionEvents} SessionEvents */
/** @typedef {import("./outbox.js").NewMessage} NewMessage */
/** @typedef {import("./outbox.js").Signal} Signal */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").Acceptance} Acceptance */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/**
 * A followed session. Emits `SessionEvents`.
 *
 * @example
 * const session = holdfast.session(id);
 * session.addEventListener("change", () => render(session.messages));
 * await session.send("Hello");
 */
export declare class Session extends /** @type {new () => EventsOf<SessionEvents>} */ /** @type {new () => EventsOf<SessionEvents>} */ Session_base {
    #private;
    id: string;
    /** Whether the initial state is loaded. */
    ready: boolean;
    /** @type {ProtocolError|null} why the session is no longer readable */
    gone: ProtocolError | null;
    /** @type {{events: number, ms: number}|null} size and duration of the latest resume */
    caughtUp: {
        events: number;
        ms: number;
    } | null;
    /**
     * @param {string} id
     * @param {{replaced?: boolean}} options `replaced`: whether `alternatives` has replaced messages
     * @param {{now: () => number, random: () => number, share: import("./shared-signals.js").Sharing,
     *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void,
     *   rest: () => Promise<import("./network/rest.js").Rest>}} connection
     */
    constructor(id: string, { replaced }: {
        replaced?: boolean;
    }, connection: {
        now: () => number;
        random: () => number;
        share: import("./shared-signals.js").Sharing;
        schedule: () => void;
        post: (frames: Frame[]) => void;
        leave: (session: Session) => void;
        rest: () => Promise<import("./network/rest.js").Rest>;
    });
    /**
     * The conversation: messages on show in order. The user's own that are not stored yet come last: `waiting`, `sending`,
     * or `failed` (refused permanently, with the reason). Messages change in place; each change gives them a greater
     * `revision`.
     * @returns {(Message|UnsentMessage)[]}
     */
    get messages(): (Message | UnsentMessage)[];
    /** Replaced messages in order, if the session was asked for with them. @returns {Message[]} */
    get replaced(): Message[];
    /**
     * Signals in order. The user's own that are not stored yet come last; unsent messages are only in `messages`.
     * @returns {(SignalRecord|import("./outbox.js").UnsentSignal)[]}
     */
    get signals(): (SignalRecord | import("./outbox.js").UnsentSignal)[];
    /** Tool calls that wait for a decision, except those for which one has been sent. @returns {Approval[]} */
    get approvals(): Approval[];
    /** Whether an agent has work here. */
    get working(): boolean;
    /** Whether a cancel is in progress. */
    get stopping(): boolean;
    get title(): string;
    /** Whether the server has earlier messages: `loadOlder` loads them. */
    get older(): boolean;
    /**
     * Immutable snapshot of all of this, for frameworks that compare by identity: the same object while nothing has changed,
     * and with new objects only for what has.
     */
    snapshot(): import("./snapshot.js").SessionSnapshot;
    /** Load earlier messages into `messages`. @param {number} [limit] how many, 30 by default */
    loadOlder(limit?: number): Promise<void>;
    /**
     * The AI SDK's chunks of a message, which may still have to begin: a replay, then what follows, until its end. Their fold
     * is the message. Rejects with the code `reset` if what was read can't be continued after an absence.
     * @param {string} message id
     * @param {import("./chunks.js").ChunkOptions} [options]
     * @returns {AsyncGenerator<import("./message.js").Chunk, void, undefined>}
     */
    chunks(message: string, options?: import("./chunks.js").ChunkOptions): AsyncGenerator<import("./message.js").Chunk, void, undefined>;
    /**
     * Send a message. It is kept until the server has stored it, through lost connections and reloads; when this tab is
     * closed, another tab sends it. This holds for every signal.
     * @param {string|NewMessage} message its text, or its parts
     * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it permanently, and with
     *   `outbox_full` when too many signals wait already
     */
    send(message: string | NewMessage): Promise<Acceptance>;
    /** Steer the agent at work, which reads it at its next step, or answers it afterwards. @param {string|NewMessage} message */
    steer(message: string | NewMessage): Promise<import("./protocol.js").Acceptance>;
    /** Stop the agent. @param {string} [message] id of the only response to stop */
    cancel(message?: string): Promise<import("./protocol.js").Acceptance>;
    /**
     * Approve a tool call, with exactly the arguments shown.
     * @param {string} approval id
     * @param {{inputText?: string, input?: object, reason?: string}} [how] edited arguments, if the descriptor allows
     *   them: `inputText`, their JSON text, which runs as it is; or `input`, values, whose large integers JavaScript
     *   has rounded
     */
    approve(approval: string, { inputText: input_text, input, reason }?: {
        inputText?: string;
        input?: object;
        reason?: string;
    }): Promise<import("./protocol.js").Acceptance>;
    /** Deny a tool call. @param {string} approval id @param {string} [reason] */
    deny(approval: string, reason?: string): Promise<import("./protocol.js").Acceptance>;
    /**
     * Send the result of a client-side tool.
     * @param {string} message id of the message that contains the call
     * @param {string} call
     * @param {{output: any}|{error: string}} result
     */
    toolResult(message: string, call: string, result: {
        output: any;
    } | {
        error: string;
    }): Promise<import("./protocol.js").Acceptance>;
    /** Continue or regenerate a response that has ended. @param {string} message @param {"continue"|"regenerate"} mode */
    retry(message: string, mode: "continue" | "regenerate"): Promise<import("./protocol.js").Acceptance>;
    /** Remove a `failed` message or steer, in all tabs. @param {string} id */
    dismiss(id: string): void;
    /** Another caller follows it too. */
    retain(): this;
    /** Stop following, once every caller of `session(id)` has. Unsent signals are left to other tabs, or the next visit. */
    detach(): void;
    /** @param {import("./protocol.js").Limits} limits */
    connected(limits: import("./protocol.js").Limits): void;
    /**
     * The attach frame for an HTTP request; null if the session is gone. `returning`: its answer counts as a catch-up.
     * @param {boolean} returning
     */
    attachFrame(returning: boolean): {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor?: undefined;
        held?: undefined;
    } | {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor: string;
        held?: undefined;
    } | {
        type: string;
        session: string;
        replaced?: boolean | undefined;
        cursor: string;
        held: {
            [k: string]: number[];
        };
    } | import("./protocol.js").Frame | null;
    disconnected(): void;
    /** @param {Frame} frame @param {number} bytes */
    receive(frame: Frame, bytes: number): void;
    /** Time of the next `tick`, ms. */
    get deadline(): number;
    tick(): void;
}
export {};
