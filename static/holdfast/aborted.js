// Waiting for an abort.

/** Resolve when the signal is aborted. @param {AbortSignal} signal @returns {Promise<void>} */
export function aborted(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
}
