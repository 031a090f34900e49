// Limits of nesting and of table cells, checked before markdown-it parses the block in question.

// Levels of quotes (one each) and lists (two each: list and item). A block with more is shown as text.
const MAX_LEVEL = 32;
export const TOO_DEEP = "too_deep";
// Cells that a table's short rows lack: some, or as many as this share of the table's own characters. Without a limit
// a kilobyte makes 65,000 cells.
const SPARE_CELLS = 200;
const CELLS_PER_CHARACTER = 0.25;

/** @param {import("../../vendor/markdown-it.mjs").default} markdown */
export function useLimits(markdown) {
  const [table] = markdown.block.ruler.getRules("");
  markdown.block.ruler.at("table", limitCells(table), { alt: ["paragraph", "reference"] });
  markdown.block.ruler.before("table", "depth", depth);
}

function depth(state, startLine, endLine) {
  if (state.level < MAX_LEVEL) return false;
  const end = containerEnd(state, startLine, endLine);
  state.push(TOO_DEEP, "", 0).map = [startLine, end];
  state.line = end;
  return true;
}

function containerEnd(state, startLine, endLine) {
  let line = startLine + 1;
  while (line < endLine && (state.isEmpty(line) || state.sCount[line] >= state.blkIndent)) line += 1;
  return line;
}

function limitCells(table) {
  return (state, startLine, endLine, silent) => {
    if (!table(state, startLine, endLine, true)) return false;
    return silent || table(state, startLine, lastRow(state, startLine, endLine), false);
  };
}

function lastRow(state, startLine, endLine) {
  const columns = bars(state, startLine + 1);
  let missing = 0;
  let line = startLine + 2;
  for (; line < endLine && !state.isEmpty(line); line += 1) {
    missing += Math.max(0, columns - bars(state, line));
    const size = state.eMarks[line] - state.bMarks[startLine];
    if (missing > SPARE_CELLS + size * CELLS_PER_CHARACTER) break;
  }
  return line;
}

function bars({ src, bMarks, eMarks }, line) {
  return src.slice(bMarks[line], eMarks[line]).split("|").length - 1;
}
