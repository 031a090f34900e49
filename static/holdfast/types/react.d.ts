export type Holdfast = import("./client.js").Holdfast;
export type SessionRecord = import("./network/rest.js").SessionRecord;
export type Session = import("./session.js").Session;
export type SessionSnapshot = import("./snapshot.js").SessionSnapshot;
export type ActionName = "send" | "steer" | "cancel" | "approve" | "deny" | "toolResult" | "retry" | "dismiss" | "loadOlder" | "chunks";
export type SessionActions = Pick<Session, ActionName>;
export type SessionList = {
    sessions: SessionRecord[];
    loading: boolean;
    error: Error | null;
    more: boolean;
};
/**
 * Give a client to the components below. It is connected while this is mounted.
 * @param {{holdfast: Holdfast, children?: import("react").ReactNode}} props
 */
export declare function HoldfastProvider({ holdfast, children }: {
    holdfast: Holdfast;
    children?: import("react").ReactNode;
}): import("react").FunctionComponentElement<import("react").ProviderProps<import("./client.js").Holdfast | null>>;
/** The client of the `HoldfastProvider` above. @returns {Holdfast} */
export declare function useHoldfast(): Holdfast;
/** State of the connection, as `holdfast.connection`. @returns {Holdfast["connection"]} */
export declare function useConnection(): Holdfast["connection"];
/**
 * Follow a session while the component is mounted.
 * @param {string|null} id null for none
 * @param {{replaced?: boolean}} [options] `replaced`: keep replaced messages too
 * @returns {SessionSnapshot & SessionActions} its state, and what it can do once mounted
 */
export declare function useSession(id: string | null, { replaced }?: {
    replaced?: boolean;
}): SessionSnapshot & SessionActions;
/**
 * List the user's sessions. It is loaded on mounting, and again when the connection is back.
 * @returns {SessionList & Pick<SessionListStore, "refresh"|"loadMore"|"create">}
 */
export declare function useSessions(): SessionList & Pick<SessionListStore, "refresh" | "loadMore" | "create">;
declare class SessionListStore {
    #private;
    /** @param {Holdfast} holdfast */
    constructor(holdfast: Holdfast);
    /** @param {() => void} notify */
    subscribe: (notify: () => void) => () => void;
    snapshot: () => SessionList;
    /** Load the list again. */
    refresh: () => Promise<void>;
    /** Load the next page. */
    loadMore: () => Promise<void>;
    /**
     * Create a session, and put it first.
     * @param {Parameters<Holdfast["createSession"]>[0]} [fields]
     */
    create: (fields?: Parameters<Holdfast["createSession"]>[0]) => Promise<import("./network/rest.js").SessionRecord>;
}
export {};
