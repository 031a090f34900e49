// JSON for people who decide about it: what can't be seen, or would show other text in another order, is written as an escape.

// Control and format characters, separators, and tags: they are invisible, or turn around what is beside them.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]/gu;

/** @param {any} value @returns {string} the same value when it is parsed */
export function exactJson(value) {
  return JSON.stringify(value, null, 2).replace(UNSEEN, (unseen) => (unseen === "\n" ? unseen : escaped(unseen)));
}

/** @param {string} character */
function escaped(character) {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** @param {string} text @returns {{input: object, problem: null} | {input: null, problem: string}} a tool's arguments */
export function readArguments(text) {
  try {
    const input = JSON.parse(text);
    if (typeof input === "object" && input !== null && !Array.isArray(input)) return { input, problem: null };
    return { input: null, problem: "Arguments are an object: { … }" };
  } catch (error) {
    return { input: null, problem: `That isn't JSON: ${error.message}` };
  }
}
