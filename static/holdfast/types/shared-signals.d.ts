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
     * keep it over a reload
     */
    save: (signal: KeptSignal) => void;
    /**
     * with what is kept of it
     */
    settle: (receipt: Receipt, kept: KeptSignal | null) => void;
    forget: (id: string) => void;
    /**
     * ask to be the tab that sends
     */
    acquireLock: () => void;
    /**
     * let another tab, or stop asking
     */
    releaseLock: () => void;
    close: () => void;
    /**
     * some may be known
     */
    onfound: (signals: KeptSignal[]) => void;
    onsettled: (receipt: Receipt) => void;
    onforgotten: (id: string) => void;
    /**
     * after `onfound` for what other tabs have left
     */
    onlock: () => void;
};
/** @typedef {import("./outbox.js").KeptSignal} KeptSignal */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** What one tab tells the others. @typedef {{found: KeptSignal[]}|{settled: Receipt}|{forgotten: string}} Broadcast */
/**
 * What an outbox needs of it. What it says comes later than the call that asked for it, or from another tab.
 * @typedef {object} SharedSignals
 * @property {(signal: KeptSignal) => void} save keep it over a reload
 * @property {(receipt: Receipt, kept: KeptSignal|null) => void} settle with what is kept of it
 * @property {(id: string) => void} forget
 * @property {() => void} acquireLock ask to be the tab that sends
 * @property {() => void} releaseLock let another tab, or stop asking
 * @property {() => void} close
 * @property {(signals: KeptSignal[]) => void} onfound some may be known
 * @property {(receipt: Receipt) => void} onsettled
 * @property {(id: string) => void} onforgotten
 * @property {() => void} onlock after `onfound` for what other tabs have left
 */
/**
 * What a page's sessions share their signals through. Without IndexedDB there is nothing to share, as in Node.
 * @param {Window} page
 * @returns {(session: string) => SharedSignals}
 */
export declare function sharing(page: Window): (session: string) => SharedSignals;
