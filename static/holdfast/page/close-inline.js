// Closing of bold and code in Markdown that is still growing, so that no markers flash up.

const FENCE = /^ {0,3}(```|~~~)/gm;
const CODE = /`[^`\n]*`/g;
const OPEN_CODE = /`[^`]+$/;
const OPEN_BOLD = /\*\*[^\s*][^*]*(\*?)$/;

/**
 * @param {string} text Markdown so far
 * @returns {string} with open bold or code of its last line closed
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
