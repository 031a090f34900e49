export type Frame = import("../protocol.js").Frame;
export type TabMessage = {
    frame: Frame;
} | {
    leader: true;
} | {
    tab: string;
    follows: string[];
};
export declare class TabGroup {
    #private;
    /** This tab leads from now on. @type {() => void} */
    onlead: () => void;
    /** The sessions of other tabs have changed; for the leader. @type {() => void} */
    onfollowed: () => void;
    /** A frame came by the leader's stream; for the others. @type {(frame: Frame) => void} */
    onframe: (frame: Frame) => void;
    /** Whether this tab keeps a stream of its own: without locks and channels, every tab does. */
    leads: boolean;
    /**
     * @param {Window & typeof globalThis} page
     * @param {string} name of the group: tabs with the same transport to the same server that act as the same person
     */
    constructor(page: Window & typeof globalThis, name: string);
    /** Sessions that other tabs follow. */
    get others(): string[];
    /** Join the group; `ready` is called once it is known who leads. @param {() => void} ready */
    join(ready: () => void): void;
    /** Leave the group: the page is hidden, or the transport closed. */
    leave(): void;
    /** Tell the leader what this tab follows. @param {string[]} sessions */
    follow(sessions: string[]): void;
    /** Pass a frame of this tab's stream to the others, as far as it concerns them. @param {Frame} frame */
    pass(frame: Frame): void;
}
