// JSON for approval decisions: the exact text, laid out; characters that are invisible or change the text direction are
// escaped.

// Control and format characters, separators, tags, and other characters without a glyph.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u00a0\u2800]/gu;
// A string, a bracket or other sign, or a number or word.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gsu;
const INDENTED = 32; // levels; deeper ones stay on one line, or a few kilobytes of brackets would fill megabytes
const INTEGER = /^-?\d{19,}$/;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 64n - 1n;

/** @param {any} value @returns {string} JSON of exactly this value; empty for undefined */
export function exactJson(value) {
  return escapeUnseen(JSON.stringify(value, null, 2) ?? "");
}

/**
 * Lay out a JSON text as JSON.stringify does, every token as it is: numbers, escapes and repeated keys.
 * @param {string} text
 */
export function layOut(text) {
  const tokens = text.match(TOKEN) ?? [];
  const pieces = [];
  let depth = 0;
  const newLine = () => (depth > INDENTED ? "" : `\n${"  ".repeat(depth)}`);
  tokens.forEach((token, index) => {
    const closes = token === "}" || token === "]";
    const isEmpty = closes && "{[".includes(tokens[index - 1] ?? " ");
    if (closes) depth -= 1;
    if (closes && !isEmpty) pieces.push(depth >= INDENTED ? "" : newLine());
    pieces.push(token === ":" ? ": " : token);
    if (token === "{" || token === "[") {
      depth += 1;
      if (tokens[index + 1] !== "}" && tokens[index + 1] !== "]") pieces.push(newLine());
    } else if (token === ",") pieces.push(newLine() || " ");
  });
  return escapeUnseen(pieces.join(""));
}

/** @param {string} text */
function escapeUnseen(text) {
  return text.replace(UNSEEN, (unseen) => (unseen === "\n" ? unseen : escaped(unseen)));
}

/** @param {string} character */
function escaped(character) {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** @param {string} text of a tool's arguments @returns {string|null} what is wrong with it */
export function argumentsProblem(text) {
  try {
    const input = JSON.parse(text);
    if (typeof input !== "object" || input === null || Array.isArray(input)) return "Arguments must be an object: { … }";
  } catch (error) {
    return `Invalid JSON: ${error.message}`;
  }
  const beyond = (text.match(TOKEN) ?? []).find(isBeyond);
  return beyond ? `This number is too large to be kept exactly: ${beyond}` : null;
}

/** @param {string} token */
function isBeyond(token) {
  if (INTEGER.test(token)) return token.length > 20 || BigInt(token) < LEAST || BigInt(token) > MOST;
  return /^-?\d/.test(token) && !Number.isFinite(Number(token));
}
