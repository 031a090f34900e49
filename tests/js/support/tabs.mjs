// Storage, broadcasts and send lock shared by a browser's tabs, on the test clock.

const DELAY_MS = 1; // from one tab to another, and to the disk and back

export class Tabs {
  /** Unsent and refused signals, in the order of saving. @type {Map<string, {session: string, signal: object}>} by id */
  kept = new Map();
  /** Whether tabs hear of each other and share the lock. */
  areApart = false;
  #clock;
  #open = new Set();
  /** Queue for each session's lock, its holder first. @type {Map<string, FakeSharedSignals[]>} */
  #lockQueues = new Map();

  constructor(clock) {
    this.#clock = clock;
  }

  /** @param {string} session */
  share = (session) => {
    const shared = new FakeSharedSignals(this, session);
    this.#open.add(shared);
    this.load(shared);
    return shared;
  };

  later(action) {
    this.#clock.setTimeout(action, DELAY_MS);
  }

  load(shared, then = () => {}) {
    this.later(() => {
      const rows = [...this.kept.values()].filter(({ session }) => session === shared.session);
      shared.onfound(rows.map(({ signal }) => structuredClone(signal)));
      then();
    });
  }

  tell(from, news) {
    if (this.areApart) return;
    for (const shared of this.#open) {
      if (shared !== from && shared.session === from.session) this.later(() => news(shared));
    }
  }

  acquireLock(shared) {
    if (this.areApart) return this.load(shared, () => shared.onlock());
    const queue = this.#lockQueues.get(shared.session) ?? [];
    this.#lockQueues.set(shared.session, queue);
    if (queue.push(shared) === 1) this.#grant(shared);
  }

  #grant(shared) {
    this.load(shared, () => this.#lockQueues.get(shared.session)[0] === shared && shared.onlock());
  }

  releaseLock(shared) {
    const queue = this.#lockQueues.get(shared.session) ?? [];
    const [first] = queue;
    this.#lockQueues.set(shared.session, queue.filter((waiting) => waiting !== shared));
    const [next] = this.#lockQueues.get(shared.session);
    if (first === shared && next) this.#grant(next);
  }

  close(shared) {
    this.#open.delete(shared);
    this.releaseLock(shared);
  }
}

class FakeSharedSignals {
  #tabs;

  constructor(tabs, session) {
    this.#tabs = tabs;
    this.session = session;
  }

  save(signal) {
    this.#keep(signal);
    this.#tabs.tell(this, (other) => other.onfound([structuredClone(signal)]));
  }

  #keep(signal) {
    this.#tabs.kept.set(signal.id, { session: this.session, signal: structuredClone(signal) });
  }

  settle(receipt, kept) {
    if (kept) this.#keep(kept);
    else this.#tabs.kept.delete(receipt.id);
    this.#tabs.tell(this, (other) => other.onsettled(receipt));
  }

  forget(id) {
    this.#tabs.kept.delete(id);
    this.#tabs.tell(this, (other) => other.onforgotten(id));
  }

  acquireLock() {
    this.#tabs.acquireLock(this);
  }

  releaseLock() {
    this.#tabs.releaseLock(this);
  }

  close() {
    this.#tabs.close(this);
  }
}
