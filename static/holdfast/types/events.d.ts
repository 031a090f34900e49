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
    receipt: import("./protocol.js").Receipt;
};
export type HoldfastEvents = {
    /**
     * the new state
     */
    connection: import("./client.js").Holdfast["connection"];
    /**
     * from the server, not about a session
     */
    error: import("./connection-state.js").Reason;
    /**
     * `keepsUnsent` has changed
     */
    keeping: boolean;
};
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
 * @property {import("./protocol.js").Receipt} receipt of a signal
 */
/**
 * @typedef {object} HoldfastEvents
 * @property {import("./client.js").Holdfast["connection"]} connection the new state
 * @property {import("./connection-state.js").Reason} error from the server, not about a session
 * @property {boolean} keeping `keepsUnsent` has changed
 */
export {};
