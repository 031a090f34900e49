// Closes the bold or code that a text still being written has open, so that no markers flash up and vanish.

const FENCE = /^ {0,3}(```|~~~)/gm;
const CODE = /`[^`\n]*`/g;
const OPEN_CODE = /`[^`]+$/;
const OPEN_BOLD = /\*\*[^\s*][^*]*(\*?)$/;

/**
 * @param {string} text Markdown so far
 * @returns {string} with what its last line has open closed
 */
export function closeInline(text) {
  const line = text.slice(text.lastIndexOf("\n") + 1).replace(CODE, "x");
  if (/^\s*[`~]/.test(line) || isInFence(text)) return text;
  if (OPEN_CODE.test(line)) return `${text}\``;
  const [, half] = OPEN_BOLD.exec(line.replace(/\*\*[^\s*][^*]*\*\*/g, "x")) ?? [];
  if (half === undefined) return text;
  return half ? `${text}*` : `${text.trimEnd()}**`;
}

function isInFence(text) {
  return (text.match(FENCE)?.length ?? 0) % 2 === 1;
}
