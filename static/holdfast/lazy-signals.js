// The storage of outboxes, loaded beside the connection. What is asked of it meanwhile waits, in order.

/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
/** @typedef {import("./shared-signals.js").Sharing} Sharing */

/**
 * Return the page's factory. If its code can't be loaded, signals live as long as this page.
 * @param {Window} page
 * @param {import("./timers.js").Clock} clock
 * @returns {Sharing}
 */
export function lazySharing(page, clock) {
  const loading = load(page, clock);
  const share = (/** @type {string} */ session) => lazySignals(loading.then((loaded) => loaded?.(session) ?? null));
  const watch = async (/** @type {(keeps: boolean) => void} */ tell) => {
    const loaded = await loading;
    if (loaded) loaded.watch?.(tell);
    else tell(false);
  };
  return Object.assign(share, { watch });
}

/** @param {Window} page @param {import("./timers.js").Clock} clock @returns {Promise<Sharing|null>} */
async function load(page, clock) {
  try {
    const { sharing } = await import("./shared-signals.js");
    return sharing(page, clock);
  } catch {
    return null;
  }
}

const METHODS = ["save", "settle", "forget", "acquireLock", "releaseLock", "close"];
const CALLBACKS = ["onfound", "onsettled", "onforgotten", "onlock"];

/** @param {Promise<SharedSignals|null>} loading @returns {SharedSignals} */
function lazySignals(loading) {
  /** @type {any} */
  const lazy = {};
  const ready = loading.then((/** @type {any} */ signals) => {
    if (!signals) return { acquireLock: () => lazy.onlock() }; // each tab sends: the ids make that harmless
    for (const name of CALLBACKS) signals[name] = (/** @type {any} */ told) => lazy[name](told);
    return signals;
  });
  for (const name of METHODS) lazy[name] = async (/** @type {any[]} */ ...given) => (await ready)[name]?.(...given);
  return lazy;
}
