// JSON for approval decisions: characters that are invisible or change the text direction are escaped.

// Control and format characters, separators, tags, and other characters without a glyph.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u00a0\u2800]/gu;

/** @param {any} value @returns {string} JSON of exactly this value; empty for undefined */
export function exactJson(value) {
  return (JSON.stringify(value, null, 2) ?? "").replace(UNSEEN, (unseen) => (unseen === "\n" ? unseen : escaped(unseen)));
}

/** @param {string} character */
function escaped(character) {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/**
 * @param {string} text
 * @returns {{input: object, problem: null} | {input: null, problem: string}} a tool's arguments
 */
export function readArguments(text) {
  try {
    const input = JSON.parse(text);
    if (typeof input === "object" && input !== null && !Array.isArray(input)) return { input, problem: null };
    return { input: null, problem: "Arguments must be an object: { … }" };
  } catch (error) {
    return { input: null, problem: `Invalid JSON: ${error.message}` };
  }
}
