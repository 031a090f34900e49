export type KeptSignal = import("./outbox.js").KeptSignal;
export type Receipt = import("./protocol.js").Receipt;
export type Broadcast = {
    found: KeptSignal[];
} | {
    settled: Receipt;
} | {
    forgotten: string;
};
export type SharedSignals = {
    /**
     * store it for a reload
     */
    save: (signal: KeptSignal) => void;
    /**
     * remove it, or store `kept` in its place
     */
    settle: (receipt: Receipt, kept: KeptSignal | null) => void;
    forget: (id: string) => void;
    /**
     * request the send lock
     */
    acquireLock: () => void;
    /**
     * release it, or withdraw the request
     */
    releaseLock: () => void;
    close: () => void;
    /**
     * signals of other tabs or an earlier page; some may be known
     */
    onfound: (signals: KeptSignal[]) => void;
    onsettled: (receipt: Receipt) => void;
    onforgotten: (id: string) => void;
    /**
     * the lock is held; `onfound` has reported what other tabs left
     */
    onlock: () => void;
};
export type Sharing = ((session: string) => SharedSignals) & {
    watch?: (tell: (keeps: boolean) => void) => void;
};
/** @typedef {import("./outbox.js").KeptSignal} KeptSignal */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/**
 * A message from one tab to the others.
 * @typedef {{found: KeptSignal[]}|{settled: Receipt}|{forgotten: string}} Broadcast
 */
/**
 * The storage of an outbox. Callbacks come after the call that caused them has returned, or from another tab.
 * @typedef {object} SharedSignals
 * @property {(signal: KeptSignal) => void} save store it for a reload
 * @property {(receipt: Receipt, kept: KeptSignal|null) => void} settle remove it, or store `kept` in its place
 * @property {(id: string) => void} forget
 * @property {() => void} acquireLock request the send lock
 * @property {() => void} releaseLock release it, or withdraw the request
 * @property {() => void} close
 * @property {(signals: KeptSignal[]) => void} onfound signals of other tabs or an earlier page; some may be known
 * @property {(receipt: Receipt) => void} onsettled
 * @property {(id: string) => void} onforgotten
 * @property {() => void} onlock the lock is held; `onfound` has reported what other tabs left
 */
/**
 * Factory of shared signals by session id. `watch`: find out if unsent signals outlive this page, and when that
 * changes.
 * @typedef {((session: string) => SharedSignals) & {watch?: (tell: (keeps: boolean) => void) => void}} Sharing
 */
/**
 * Return the page's factory. Without IndexedDB, as in Node, signals stay in memory.
 * @param {Window} page
 * @param {import("./timers.js").Clock} clock
 * @returns {Sharing}
 */
export declare function sharing(page: Window, clock: import("./timers.js").Clock): Sharing;
