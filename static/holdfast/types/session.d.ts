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
     * its id
     */
    approval: string;
    /**
     * that the call is in
     */
    message: string;
    call: string;
    /**
     * its name
     */
    tool: string;
    /**
     * its exact arguments
     */
    input: any;
    /**
     * why the agent asks
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
     * ids of those that came, went or changed
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
     * what a resume brought, and how long that took
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
 * A tool call that waits for a person's decision. `descriptor.expires_at`: ms, or null for never.
 * @typedef {object} Approval
 * @property {string} approval its id
 * @property {string} message that the call is in
 * @property {string} call
 * @property {string} tool its name
 * @property {any} input its exact arguments
 * @property {string|undefined} reason why the agent asks
 * @property {import("./message.js").ApprovalDescriptor} descriptor
 */
/**
 * An `EventTarget` with what each of its events has as its `detail`, by the event's name.
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
 * @property {{messages: Set<string>, signals: Set<string>}} change ids of those that came, went or changed
 * @property {string} reset why the state was replaced
 * @property {{events: number, ms: number}} caught-up what a resume brought, and how long that took
 * @property {Receipt} receipt of a signal
 */
/**
 * A followed session. It dispatches `SessionEvents`.
 *
 * @example
 * const session = holdfast.session(id);
 * session.addEventListener("change", () => render(session.messages));
 * await session.send("Hello");
 */
export declare class Session extends /** @type {new () => EventsOf<SessionEvents>} */ /** @type {new () => EventsOf<SessionEvents>} */ Session_base {
    #private;
    id: string;
    /** Whether its state has come. */
    ready: boolean;
    /** @type {ProtocolError|null} why it can't be read any more */
    gone: ProtocolError | null;
    /** @type {{events: number, ms: number}|null} what the latest resume brought, and how long that took */
    caughtUp: {
        events: number;
        ms: number;
    } | null;
    /**
     * @param {string} id
     * @param {{now: () => number, random: () => number, share: (session: string) => SharedSignals,
     *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void}} connection
     */
    constructor(id: string, connection: {
        now: () => number;
        random: () => number;
        share: (session: string) => SharedSignals;
        schedule: () => void;
        post: (frames: Frame[]) => void;
        leave: (session: Session) => void;
    });
    /**
     * In order. A person's own that the session doesn't hold yet are last: `waiting` to be sent, `sending`, or `failed`:
     * refused for good, with the reason.
     * @returns {(Message|UnsentMessage)[]}
     */
    get messages(): (Message | UnsentMessage)[];
    /**
     * Those that the session holds, in order. A person's own that it doesn't hold yet are last, as with messages, which
     * aren't among them as long as they are unsent.
     * @returns {(SignalRecord|UnsentSignal)[]}
     */
    get signals(): (SignalRecord | UnsentSignal)[];
    /** Tool calls that wait for a decision, and that nobody has sent one about. @returns {Approval[]} */
    get approvals(): Approval[];
    /** Whether an agent has work here. */
    get working(): boolean;
    /** Whether a cancel isn't final yet. */
    get stopping(): boolean;
    get title(): string;
    /** Whether the history endpoint has messages before these. */
    get older(): boolean;
    /**
     * Send a person's message. It is kept until the server has it, over a lost connection and a reload, and when this tab
     * is closed another sends it. So is all else that a person may send.
     * @param {string} text
     * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it for good, and with
     *   `outbox_full`, keeping nothing, when too much waits already
     */
    send(text: string): Promise<Acceptance>;
    /** Tell the agent at work, which reads it at its next step, or answers it when this one is done. @param {string} text */
    steer(text: string): Promise<import("./protocol.js").Acceptance>;
    /** Stop the agent. @param {string} [message] only the response with this id */
    cancel(message?: string): Promise<import("./protocol.js").Acceptance>;
    /**
     * Let a tool call run, with the very arguments that it shows.
     * @param {string} approval its id
     * @param {{input?: object, reason?: string}} [how] `input`: edited arguments, where the approval allows it
     */
    approve(approval: string, how?: {
        input?: object;
        reason?: string;
    }): Promise<import("./protocol.js").Acceptance>;
    /** @param {string} approval its id @param {string} [reason] */
    deny(approval: string, reason?: string): Promise<import("./protocol.js").Acceptance>;
    /**
     * Give the result of a tool that runs here.
     * @param {string} message that the call is in
     * @param {string} call
     * @param {{output: any}|{error: string}} result
     */
    toolResult(message: string, call: string, result: {
        output: any;
    } | {
        error: string;
    }): Promise<import("./protocol.js").Acceptance>;
    /** Have a response that has ended go on, or given anew. @param {string} message @param {"continue"|"regenerate"} mode */
    retry(message: string, mode: "continue" | "regenerate"): Promise<import("./protocol.js").Acceptance>;
    /** Forget a message or steer of one's own that has `failed`, in all tabs. @param {string} id */
    dismiss(id: string): void;
    /** Stop following. What waits to be sent is left to other tabs, and kept for the next time. */
    detach(): void;
    /** @param {Limits} limits */
    connected(limits: Limits): void;
    /**
     * What to ask a request for; null when there is nothing to ask. `returning`: its answer is a catch-up.
     * @param {boolean} returning
     */
    attachFrame(returning: boolean): {
        type: string;
        session: string;
        cursor?: undefined;
        held?: undefined;
    } | {
        type: string;
        session: string;
        cursor: string;
        held?: undefined;
    } | {
        type: string;
        session: string;
        cursor: string;
        held: {
            [k: string]: number[];
        };
    } | import("./protocol.js").Frame | null;
    disconnected(): void;
    /** @param {Frame} frame @param {number} bytes */
    receive(frame: Frame, bytes: number): void;
    /** When `tick` has something to do, ms. */
    get deadline(): number;
    tick(): void;
}
export {};
