// A session's unsent signals, shared by the browser's tabs: one database, one broadcast channel, one send lock.

import { aborted } from "./aborted.js";
import { orNull } from "./or-null.js";
import { SignalDatabase } from "./signal-database.js";

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
export function sharing(page, clock) {
  const factory = orNull(() => page.indexedDB ?? null);
  const database = new SignalDatabase(factory, clock);
  const share = (/** @type {string} */ session) => new SignalsOfTabs(session, database, factory && page);
  const watch = (/** @type {(keeps: boolean) => void} */ tell) => {
    database.onkeeps = tell;
    database.probe();
  };
  return Object.assign(share, { watch });
}

/** @implements {SharedSignals} */
class SignalsOfTabs {
  /** @type {SharedSignals["onfound"]} */
  onfound = () => {};
  /** @type {SharedSignals["onsettled"]} */
  onsettled = () => {};
  /** @type {SharedSignals["onforgotten"]} */
  onforgotten = () => {};
  /** @type {SharedSignals["onlock"]} */
  onlock = () => {};

  #session;
  #database;
  #name;
  #channel;
  #lockManager;
  /** Aborted to release the lock, or to stop waiting for it. */
  #lock = new AbortController();

  /** @param {string} session @param {SignalDatabase} database @param {Window|null} page null without tabs */
  constructor(session, database, page) {
    this.#session = session;
    this.#database = database;
    this.#name = `holdfast.outbox.${session}`;
    this.#lockManager = page?.navigator.locks; // of secure pages only
    this.#channel = page ? orNull(() => new BroadcastChannel(this.#name)) : null;
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#load();
  }

  async #load() {
    const signals = await this.#database.load(this.#session);
    this.onfound(signals);
  }

  /** @param {KeptSignal} signal */
  save(signal) {
    this.#database.save(this.#session, signal);
    this.#broadcast({ found: [signal] });
  }

  /** @param {Receipt} receipt @param {KeptSignal|null} kept */
  settle(receipt, kept) {
    if (kept) this.#database.save(this.#session, kept);
    else this.#database.remove(this.#session, receipt.id);
    this.#broadcast({ settled: receipt });
  }

  /** @param {string} id */
  forget(id) {
    this.#database.remove(this.#session, id);
    this.#broadcast({ forgotten: id });
  }

  acquireLock() {
    const { signal } = (this.#lock = new AbortController());
    const use = async () => {
      await this.#load();
      if (signal.aborted) return;
      this.onlock();
      await aborted(signal);
    };
    // Without locks, or where they are forbidden, each tab sends; the ids make that harmless.
    if (!this.#lockManager) use();
    else this.#lockManager.request(this.#name, { signal }, use).catch(() => (signal.aborted ? undefined : use()));
  }

  releaseLock() {
    this.#lock.abort();
  }

  close() {
    this.releaseLock();
    this.#channel?.close();
    this.#channel = null; // posting to a closed one throws
  }

  /** @param {Broadcast} news */
  #broadcast(news) {
    this.#channel?.postMessage(news);
  }

  /** @param {Broadcast} news */
  #receive(news) {
    if ("found" in news) return this.onfound(news.found);
    this.#database.forget("settled" in news ? news.settled.id : news.forgotten);
    if ("settled" in news) this.onsettled(news.settled);
    else this.onforgotten(news.forgotten);
  }
}
