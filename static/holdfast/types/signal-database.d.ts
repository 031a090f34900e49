export type KeptSignal = import("./outbox.js").KeptSignal;
export type Row = KeptSignal & {
    session: string;
};
export declare const PATIENCE_MS = 300;
/**
 * Database of one page, for all its sessions. No method throws, rejects or takes longer than `PATIENCE_MS`. The browser
 * may close or clear it at any time: it is opened again, and gets back what this page has to keep.
 */
export declare class SignalDatabase {
    #private;
    /** It keeps signals for a reload from now on, or can't any more. @type {(keeps: boolean) => void} */
    onkeeps: (keeps: boolean) => void;
    /** @param {IDBFactory|null} factory null for memory only @param {import("./timers.js").Clock} clock */
    constructor(factory: IDBFactory | null, clock: import("./timers.js").Clock);
    /** Find out if signals can be kept: `onkeeps` tells. */
    probe(): Promise<void>;
    /** @param {string} session @returns {Promise<KeptSignal[]>} in any order */
    load(session: string): Promise<KeptSignal[]>;
    /** @param {string} session @param {KeptSignal} signal replaces one with the same id */
    save(session: string, signal: KeptSignal): Promise<void>;
    /** @param {string} session @param {string} id */
    remove(session: string, id: string): Promise<void>;
    /** Another tab has removed it, or keeps it now. @param {string} id */
    forget(id: string): void;
}
