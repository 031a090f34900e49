// Named timers on a clock. Starting a running one replaces it.

// The maximum of setTimeout, which fires at once for more.
const LONGEST_MS = 2 ** 31 - 1;

/**
 * @typedef {object} Clock
 * @property {() => number} now ms since 1970; never goes back
 * @property {(action: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * Return a function for the time that never goes back: when the system's clock is set back, it goes on from where it
 * was. Deadlines would be late by as much as that otherwise. A jump ahead is passed on, since it may be a sleep.
 * @param {() => number} wallClock ms since 1970
 */
export function neverBack(wallClock) {
  let last = -Infinity;
  let ahead = 0;
  return () => {
    const now = wallClock() + ahead;
    if (now < last) ahead += last - now;
    last = Math.max(last, now);
    return last;
  };
}

/** @type {Clock} */
export const systemClock = {
  now: neverBack(() => Date.now()),
  setTimeout: (action, ms) => setTimeout(action, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * A timer effect of a pure state machine.
 * @template {string} Name
 * @typedef {{type: "startTimer", name: Name, ms: number} | {type: "stopTimer", name: Name}} TimerEffect
 */

/** @template {string} Name @param {Name} name @param {number} ms @returns {TimerEffect<Name>} */
export function startTimer(name, ms) {
  return { type: "startTimer", name, ms };
}

/** @template {string} Name @param {Name} name @returns {TimerEffect<Name>} */
export function stopTimer(name) {
  return { type: "stopTimer", name };
}

export class Timers {
  #clock;
  /** @type {Map<string, unknown>} */
  #timers = new Map();

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** @param {string} name @param {number} ms @param {() => void} action */
  start(name, ms, action) {
    this.stop(name);
    const fire = () => {
      this.#timers.delete(name);
      action();
    };
    this.#timers.set(name, this.#clock.setTimeout(fire, Math.min(ms, LONGEST_MS)));
  }

  /** @param {string} name */
  stop(name) {
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  stopAll() {
    for (const name of [...this.#timers.keys()]) this.stop(name);
  }

  /** @param {string} name */
  has(name) {
    return this.#timers.has(name);
  }
}
