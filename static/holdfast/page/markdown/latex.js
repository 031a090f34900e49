// LaTeX, shown as it was written: \(…\), \[…\], $$…$$, and $…$ if it looks like a formula.

const BACKSLASH = 0x5c;
const DOLLAR = 0x24;
const CLOSERS = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };
const FORMULA = /[\\^_{}]/;

/** @param {import("../../vendor/markdown-it.mjs").default} markdown */
export function useLatex(markdown) {
  const alt = ["paragraph", "reference", "blockquote", "list"];
  markdown.block.ruler.before("fence", "latex_block", latexBlock, { alt });
  markdown.inline.ruler.before("escape", "latex", latex);
  markdown.inline.ruler.before("escape", "dollars", dollars);
}

/** Lines from one that begins with \[ or $$ to one that ends with \] or $$. */
function latexBlock(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const closer = CLOSERS[state.src.slice(start, start + 2)];
  if (!closer || closer === "\\)") return false;
  const end = lastLine(state, startLine, endLine, closer);
  if (end === -1) return false;
  if (!silent) {
    const token = state.push("latex_block", "", 0);
    token.map = [startLine, end + 1];
    token.content = state.getLines(startLine, end + 1, state.blkIndent, false);
    state.line = end + 1;
  }
  return true;
}

function lastLine(state, startLine, endLine, closer) {
  // Where a search has ended in vain, one from a later line would too.
  const { unclosed } = state.env;
  if (startLine < (unclosed.get(closer) ?? 0)) return -1;
  let line = startLine;
  for (; line < endLine && !state.isEmpty(line) && state.sCount[line] >= state.blkIndent; line += 1) {
    if (endsWith(state, line, closer, line === startLine)) return line;
  }
  unclosed.set(closer, line);
  return -1;
}

function endsWith({ src, bMarks, tShift, eMarks }, line, closer, isFirst) {
  const text = src.slice(bMarks[line] + tShift[line], eMarks[line]).trimEnd();
  return text.endsWith(closer) && text.length >= (isFirst ? 4 : 2);
}

function latex(state, silent) {
  const code = state.src.charCodeAt(state.pos);
  if (code !== BACKSLASH && code !== DOLLAR) return false;
  const closer = CLOSERS[state.src.slice(state.pos, state.pos + 2)];
  if (!closer) return false;
  const end = find(state, closer, state.pos + 2);
  // \[text\](address) is a link that was escaped.
  if (end === -1 || (closer === "\\]" && state.src[end] === "(")) return false;
  return push(state, end, silent);
}

/** Return where the formula ends; the end of the text if it is growing; -1 if it isn't closed. */
function find(state, closer, from) {
  const known = state.closers?.[closer];
  const at = known !== undefined && (known === -1 || known >= from) ? known : state.src.indexOf(closer, from);
  state.closers = { ...state.closers, [closer]: at };
  if (at === -1) return state.env.growing ? state.posMax : -1;
  return at + 2 <= state.posMax ? at + 2 : -1;
}

// As in Pandoc, against prices: no space inside the dollars, and no digit after them.
function dollars(state, silent) {
  const { src, pos } = state;
  if (src.charCodeAt(pos) !== DOLLAR || /[\s$]/.test(src[pos + 1] ?? " ")) return false;
  const end = src.indexOf("$", pos + 1);
  if (end === -1 || end >= state.posMax || /\s/.test(src[end - 1]) || /[\d$]/.test(src[end + 1] ?? "")) return false;
  if (!FORMULA.test(src.slice(pos + 1, end))) return false;
  return push(state, end + 1, silent);
}

function push(state, end, silent) {
  if (!silent) state.push("latex", "code", 0).content = state.src.slice(state.pos, end);
  state.pos = end;
  return true;
}
