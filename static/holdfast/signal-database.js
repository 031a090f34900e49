// Storage of unsent signals: IndexedDB, or memory where it is forbidden or full.

/** @typedef {import("./outbox.js").KeptSignal} KeptSignal */
/** @typedef {KeptSignal & {session: string}} Row */

const NAME = "holdfast";
const VERSION = 1;
const SIGNALS = "signals";
// Age at which a signal is removed: its session has expired on the server.
const KEPT_MS = 30 * 24 * 3_600_000;

const PROBE = "probe"; // a row that is written and removed
// Deadline for the database. Some browsers leave an `open` or a transaction unanswered for good.
export const PATIENCE_MS = 300;

/**
 * Database of one page, for all its sessions. No method throws, rejects or takes longer than `PATIENCE_MS`. The browser
 * may close or clear it at any time: it is opened again, and gets back what this page has to keep.
 */
export class SignalDatabase {
  /** It keeps signals for a reload from now on, or can't any more. @type {(keeps: boolean) => void} */
  onkeeps = () => {};
  #factory;
  #clock;
  /** @type {IDBDatabase|null} */
  #database = null;
  /** @type {Promise<void>|null} the opening under way; one that is never answered stays */
  #opening = null;
  /** End of the patience with it, ms. */
  #openBy = 0;
  /** Every signal that this page has saved and not removed, by id. @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {boolean|null} null until the first answer */
  #keeps = null;

  /** @param {IDBFactory|null} factory null for memory only @param {import("./timers.js").Clock} clock */
  constructor(factory, clock) {
    this.#factory = factory;
    this.#clock = clock;
  }

  /** Find out if signals can be kept: `onkeeps` tells. */
  async probe() {
    await this.#transact("readwrite", (signals) => {
      signals.put({ session: "", id: PROBE });
      return signals.delete(["", PROBE]);
    });
  }

  /** @param {string} session @returns {Promise<KeptSignal[]>} in any order */
  async load(session) {
    const stored = (await this.#transact("readonly", (signals) => signals.getAll(ofSession(session)))) ?? [];
    const own = [...this.#rows.values()].filter((row) => row.session === session);
    const ids = new Set(own.map(({ id }) => id));
    return [...own, ...stored.filter(({ id }) => !ids.has(id))];
  }

  /** @param {string} session @param {KeptSignal} signal replaces one with the same id */
  async save(session, signal) {
    const row = { ...signal, session };
    this.#rows.set(row.id, row);
    await this.#transact("readwrite", (signals) => signals.put(row));
  }

  /** @param {string} session @param {string} id */
  async remove(session, id) {
    this.forget(id);
    await this.#transact("readwrite", (signals) => signals.delete([session, id]));
  }

  /** Another tab has removed it, or keeps it now. @param {string} id */
  forget(id) {
    this.#rows.delete(id);
  }

  /**
   * @template Result
   * @param {IDBTransactionMode} mode
   * @param {(signals: IDBObjectStore) => IDBRequest<Result>} ask
   * @returns {Promise<Result|undefined>} undefined when it failed
   */
  async #transact(mode, ask) {
    for (const lastTry of [false, true]) {
      const database = await this.#opened();
      if (!database) break;
      try {
        const result = await this.#within(committed(database.transaction(SIGNALS, mode), ask), PATIENCE_MS);
        this.#tell(true);
        return result;
      } catch (problem) {
        if (isFull(problem)) break;
        this.#close(database); // closed or cleared by the browser, or silent: a new connection may work
        if (lastTry) break;
      }
    }
    this.#tell(false);
    return undefined;
  }

  /** @returns {Promise<IDBDatabase|null>} null when it can't be opened in time */
  async #opened() {
    if (this.#database || !this.#factory) return this.#database;
    if (!this.#opening) {
      this.#openBy = this.#clock.now() + PATIENCE_MS;
      const used = open(this.#factory).then((database) => this.#use(database), () => {});
      this.#opening = used.finally(() => (this.#opening = null));
    }
    await this.#within(this.#opening, this.#openBy - this.#clock.now()).catch(() => {});
    return this.#database;
  }

  /** @param {IDBDatabase} database */
  #use(database) {
    this.#database = database;
    database.onversionchange = () => this.#close(database); // another tab runs a newer release
    database.onclose = () => this.#close(database); // by the browser: its data was removed, or the disk failed
    removeOld(database);
    const rows = [...this.#rows.values()];
    if (rows.length) this.#transact("readwrite", (signals) => rows.map((row) => signals.put(row))[0]);
  }

  /** @param {IDBDatabase} database */
  #close(database) {
    database.close();
    if (this.#database === database) this.#database = null;
  }

  /** @param {boolean} keeps */
  #tell(keeps) {
    if (keeps === this.#keeps) return;
    this.#keeps = keeps;
    this.onkeeps(keeps);
  }

  /**
   * @template Result
   * @param {Promise<Result>} work
   * @param {number} ms
   * @returns {Promise<Result>} rejects when it takes longer
   */
  #within(work, ms) {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => reject(new Error("the database doesn't answer")), Math.max(0, ms));
      work.then(resolve, reject).finally(() => this.#clock.clearTimeout(timer));
    });
  }
}

/** @param {unknown} problem */
function isFull(problem) {
  return problem instanceof Error && problem.name === "QuotaExceededError";
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
    request.onsuccess = () => resolve(request.result);
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
