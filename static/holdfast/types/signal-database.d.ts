export type KeptSignal = import("./outbox.js").KeptSignal;
export type Row = KeptSignal & {
    session: string;
};
/** Database of one page, for all its sessions. No method throws or rejects; each waits until the database is open. */
export declare class SignalDatabase {
    #private;
    /** @param {IDBFactory|null} factory null for memory only */
    constructor(factory: IDBFactory | null);
    /** @param {string} session @returns {Promise<KeptSignal[]>} in any order */
    load(session: string): Promise<KeptSignal[]>;
    /** @param {string} session @param {KeptSignal} signal replaces one with the same id */
    save(session: string, signal: KeptSignal): Promise<void>;
    /** @param {string} session @param {string} id */
    remove(session: string, id: string): Promise<void>;
}
