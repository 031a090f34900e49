// JSON without rounding. JSON.parse rounds integers beyond 2^53; here they stay exact, as text.

const LONG = /\d{16}/; // 2^53 has 16 digits
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

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
  const pieces = [];
  for (let from = 0; from < text.length; ) {
    const start = text.indexOf('"', from);
    const outside = text.slice(from, start < 0 ? undefined : start);
    pieces.push(outside.replace(NUMBER, (number) => (isSafe(number) ? number : `"${number}"`)));
    from = start < 0 ? text.length : endOfString(text, start);
    if (start >= 0) pieces.push(text.slice(start, from));
  }
  return pieces.join("");
}

/** @param {string} number */
function isSafe(number) {
  const value = Number(number);
  return /[.eE]/.test(number) ? Number.isFinite(value) : Number.isSafeInteger(value);
}

/** @param {string} text @param {number} start of a string @returns {number} the index behind it */
function endOfString(text, start) {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = end;
    while (text[escapes - 1] === "\\") escapes -= 1;
    if ((end - escapes) % 2 === 0) return end + 1;
  }
  return text.length;
}
