// Result of an action that may fail for reasons beyond the program: forbidden or full storage, malformed input.

/** @template Result @param {() => Result} action @returns {Result|null} null when it throws */
export function orNull(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
