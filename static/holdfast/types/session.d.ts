export type FoldedMessage = import("./message.js").FoldedMessage;
export type Message = import("./message.js").Message;
export type Signal = import("./outbox.js").Signal;
export type UnsentMessage = import("./outbox.js").UnsentMessage;
export type UnsentSignal = import("./outbox.js").UnsentSignal;
export type StateUpdate = import("./session-state.js").StateUpdate;
export type SharedSignals = import("./shared-signals.js").SharedSignals;
export type Frame = import("./protocol.js").Frame;
export type Limits = import("./protocol.js").Limits;
export type ProtocolError = import("./protocol.js").ProtocolError;
export type Receipt = import("./protocol.js").Receipt;
export type Acceptance = import("./protocol.js").Acceptance;
export type SignalRecord = import("./protocol.js").SignalRecord;
export type Approval = {
    /**
     * id of the approval
     */
    approval: string;
    /**
     * id of the message that contains the call
     */
    message: string;
    /**
     * id of the tool call
     */
    call: string;
    /**
     * name
     */
    tool: string;
    /**
     * arguments; integers beyond 2^53 as text
     */
    input: any;
    /**
     * their exact JSON text
     */
    inputText?: string;
    /**
     * the agent's reason to ask
     */
    reason: string | undefined;
    descriptor: import("./message.js").ApprovalDescriptor;
};
export type EventsOf<Details extends object> = {
    addEventListener<Name extends keyof Details & string>(type: Name, listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<Name extends keyof Details & string>(type: Name, listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | EventListenerOptions): void;
    dispatchEvent(event: Event): boolean;
};
export type SessionEvents = {
    /**
     * ids of those added, removed or changed; the id of a
     * message that is not loaded means that another has taken its place
     */
    change: {
        messages: Set<string>;
        signals: Set<string>;
    };
    /**
     * why the state was replaced
     */
    reset: string;
    /**
     * size and duration of a resume
     */
    "caught-up": {
        events: number;
        ms: number;
    };
    /**
     * of a signal
     */
    receipt: Receipt;
};
declare const Session_base: new () => EventsOf<SessionEvents>;
/** @typedef {import("./message.js").FoldedMessage} FoldedMessage */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./outbox.js").Signal} Signal */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./outbox.js").UnsentSignal} UnsentSignal */
/** @typedef {import("./session-state.js").StateUpdate} StateUpdate */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").Acceptance} Acceptance */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/**
 * A tool call that waits for a decision. `descriptor.expires_at`: ms, or null for never.
 * @typedef {object} Approval
 * @property {string} approval id of the approval
 * @property {string} message id of the message that contains the call
 * @property {string} call id of the tool call
 * @property {string} tool name
 * @property {any} input arguments; integers beyond 2^53 as text
 * @property {string} [inputText] their exact JSON text
 * @property {string|undefined} reason the agent's reason to ask
 * @property {import("./message.js").ApprovalDescriptor} descriptor
 */
/**
 * An `EventTarget` with typed events: the type of `detail` by event name.
 * @template {object} Details
 * @typedef {{
 *   addEventListener<Name extends keyof Details & string>(type: Name,
 *     listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | AddEventListenerOptions): void,
 *   removeEventListener<Name extends keyof Details & string>(type: Name,
 *     listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | EventListenerOptions): void,
 *   dispatchEvent(event: Event): boolean,
 * }} EventsOf
 */
/**
 * @typedef {object} SessionEvents
 * @property {{messages: Set<string>, signals: Set<string>}} change ids of those added, removed or changed; the id of a
 *   message that is not loaded means that another has taken its place
 * @property {string} reset why the state was replaced
 * @property {{events: number, ms: number}} caught-up size and duration of a resume
 * @property {Receipt} receipt of a signal
 */
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
     * @param {{now: () => number, random: () => number, share: (session: string) => SharedSignals,
     *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void}} connection
     */
    constructor(id: string, { replaced }: {
        replaced?: boolean;
    }, connection: {
        now: () => number;
        random: () => number;
        share: (session: string) => SharedSignals;
        schedule: () => void;
        post: (frames: Frame[]) => void;
        leave: (session: Session) => void;
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
     * @returns {(SignalRecord|UnsentSignal)[]}
     */
    get signals(): (SignalRecord | UnsentSignal)[];
    /** Tool calls that wait for a decision, except those for which one has been sent. @returns {Approval[]} */
    get approvals(): Approval[];
    /** Whether an agent has work here. */
    get working(): boolean;
    /** Whether a cancel is in progress. */
    get stopping(): boolean;
    get title(): string;
    /** Whether the server has earlier messages (`GET /api/sessions/<id>/messages/`). */
    get older(): boolean;
    /**
     * Send a message. It is kept until the server has stored it, through lost connections and reloads; when this tab is
     * closed, another tab sends it. This holds for every signal.
     * @param {string} text
     * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it permanently, and with
     *   `outbox_full` when too many signals wait already
     */
    send(text: string): Promise<Acceptance>;
    /** Steer the agent at work, which reads it at its next step, or answers it afterwards. @param {string} text */
    steer(text: string): Promise<import("./protocol.js").Acceptance>;
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
    /** Stop following. Unsent signals are left to other tabs, or to the next visit. */
    detach(): void;
    /** @param {Limits} limits */
    connected(limits: Limits): void;
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
