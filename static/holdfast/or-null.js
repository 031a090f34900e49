// What may throw for reasons that nobody can mend: storage that the browser forbids or has no room for, text from afar.

/** @template Result @param {() => Result} action @returns {Result|null} null when it throws */
export function orNull(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
