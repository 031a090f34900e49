// Drawing errors on the console, without any text of the conversation, which is private.

/**
 * Warn that something cannot be drawn: kind and place of the error, without its message, which may quote a text.
 * @param {string} what
 * @param {Error} error
 */
export function warnOfError(what, { name, message, stack }) {
  console.warn(`${what} can't be drawn: ${name}`, String(stack).replace(message, "…"));
}
