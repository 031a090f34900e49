// JSON without rounding. JSON.parse rounds integers beyond 2^53; here they stay exact, as text.

const LONG = /\d{16}/; // 2^53 has 16 digits
// An escaped character, the limit of a string, or a number.
const TOKEN = /\\.|"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Parse JSON; an integer that a number can't hold exactly becomes a string of its digits.
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError}
 */
export function parseJson(text) {
  return JSON.parse(LONG.test(text) ? quoteUnsafe(text) : text);
}

/** @param {string} text @returns {string} with its unsafe numbers quoted */
function quoteUnsafe(text) {
  let inside = false; // a string
  return text.replace(TOKEN, (token) => {
    if (token === '"') inside = !inside;
    return inside || /^["\\]/.test(token) || isSafe(token) ? token : `"${token}"`;
  });
}

/** @param {string} number */
function isSafe(number) {
  const value = Number(number);
  return /[.eE]/.test(number) ? Number.isFinite(value) : Number.isSafeInteger(value);
}
