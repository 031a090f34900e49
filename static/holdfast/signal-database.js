// Storage of unsent signals: IndexedDB, or memory where it is forbidden or full.

/** @typedef {import("./outbox.js").KeptSignal} KeptSignal */
/** @typedef {KeptSignal & {session: string}} Row */

const NAME = "holdfast";
const VERSION = 1;
const SIGNALS = "signals";
// Age at which a signal is removed: its session has expired on the server.
const KEPT_MS = 30 * 24 * 3_600_000;

/** Database of one page, for all its sessions. No method throws or rejects; each waits until the database is open. */
export class SignalDatabase {
  /** @type {Promise<IDBDatabase|null>} */
  #opened;
  /** Signals that the database did not store, by id. @type {Map<string, Row>} */
  #memory = new Map();

  /** @param {IDBFactory|null} factory null for memory only */
  constructor(factory) {
    this.#opened = factory ? open(factory).catch(() => null) : Promise.resolve(null);
  }

  /** @param {string} session @returns {Promise<KeptSignal[]>} in any order */
  async load(session) {
    const stored = (await this.#transact("readonly", (signals) => signals.getAll(ofSession(session)))) ?? [];
    const inMemory = [...this.#memory.values()].filter((row) => row.session === session);
    return [...stored, ...inMemory];
  }

  /** @param {string} session @param {KeptSignal} signal replaces one with the same id */
  async save(session, signal) {
    const row = { ...signal, session };
    const key = await this.#transact("readwrite", (signals) => signals.put(row));
    if (key === undefined) this.#memory.set(row.id, row);
  }

  /** @param {string} session @param {string} id */
  async remove(session, id) {
    this.#memory.delete(id);
    await this.#transact("readwrite", (signals) => signals.delete([session, id]));
  }

  /**
   * @template Result
   * @param {IDBTransactionMode} mode
   * @param {(signals: IDBObjectStore) => IDBRequest<Result>} ask
   * @returns {Promise<Result|undefined>} undefined when it failed
   */
  async #transact(mode, ask) {
    const database = await this.#opened;
    try {
      return database ? await committed(database.transaction(SIGNALS, mode), ask) : undefined;
    } catch {
      return undefined; // no space left, or the user has removed the site's data
    }
  }
}

/** @param {string} session */
function ofSession(session) {
  return IDBKeyRange.bound([session], [session, []]); // an array sorts after every string
}

/**
 * @template Result
 * @param {IDBTransaction} transaction
 * @param {(signals: IDBObjectStore) => IDBRequest<Result>} ask
 * @returns {Promise<Result>} once it is on disk
 */
function committed(transaction, ask) {
  return new Promise((resolve, reject) => {
    const request = ask(transaction.objectStore(SIGNALS));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
    // Commit now: a page being closed does not live until the request succeeds.
    transaction.commit();
  });
}

/** @param {IDBFactory} factory @returns {Promise<IDBDatabase>} */
function open(factory) {
  return new Promise((resolve, reject) => {
    const request = factory.open(NAME, VERSION);
    request.onupgradeneeded = () => create(request.result);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => database.close(); // another tab runs a newer release
      removeOld(database);
      resolve(database);
    };
  });
}

/** @param {IDBDatabase} database */
function create(database) {
  const signals = database.createObjectStore(SIGNALS, { keyPath: ["session", "id"] });
  signals.createIndex("at", "at");
}

/** @param {IDBDatabase} database */
function removeOld(database) {
  const signals = database.transaction(SIGNALS, "readwrite").objectStore(SIGNALS);
  const request = signals.index("at").openCursor(IDBKeyRange.upperBound(Date.now() - KEPT_MS));
  request.onsuccess = () => {
    request.result?.delete();
    request.result?.continue();
  };
}
