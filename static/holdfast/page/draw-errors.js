// Errors of drawing, on the console. A conversation is private: nothing that was written in it is logged.

/**
 * Warn of something that can't be drawn: the error's kind and its place, without its message, which may quote a text.
 * @param {string} what
 * @param {Error} error
 */
export function warnOfError(what, { name, message, stack }) {
  console.warn(`${what} can't be drawn: ${name}`, String(stack).replace(message, "…"));
}
