// A test clock: timers fire in order, at their exact millisecond, without real waiting.

export class Clock {
  #now;
  #timers = new Map();
  #next = 1;

  constructor(now = 1_000_000) {
    this.#now = now;
  }

  now = () => this.#now;

  setTimeout = (action, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), action });
    return id;
  };

  clearTimeout = (id) => {
    this.#timers.delete(id);
  };

  /** Let time pass, firing what is due. @param {number} ms */
  advance(ms) {
    const end = this.#now + ms;
    for (let due; (due = this.#first(end)); ) this.#fire(due);
    this.#now = end;
  }

  /** Let time pass as `advance` does, with what promises bring in between. @param {number} ms */
  async pass(ms) {
    const end = this.#now + ms;
    await settled();
    for (let due; (due = this.#first(end)); await settled()) this.#fire(due);
    this.#now = end;
  }

  /** Let time pass with the page asleep: what is due fires late, at the end. @param {number} ms */
  sleep(ms) {
    this.#now += ms;
    this.advance(0);
  }

  #first(end) {
    let first;
    for (const [id, { at }] of this.#timers) {
      if (at <= end && (first === undefined || at < this.#timers.get(first).at)) first = id;
    }
    return first;
  }

  #fire(id) {
    const { at, action } = this.#timers.get(id);
    this.#timers.delete(id);
    this.#now = Math.max(this.#now, at);
    action();
  }
}

// Every promise that is to be settled by now is, before an immediate.
function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
