// Display of Markdown that is still growing: markers whose meaning the next characters decide are held back.

// Longer ones are shown: they are no Markdown that somebody writes.
const MAX_HELD = 200;
const MAX_LINK = 2048;
// A last line that may still become a rule, heading, list, quote, fence or the head of a table.
const UNDECIDED_LINE = /^[\s>\-+*_=#~`|:$\\]*(?:\d{1,9}[.)]?|\[[ xX]?\]?)?\s*$/;
const TABLE_ROW = /^ {0,3}\|.*[^\s|]/;
// The beginning of a tag or an entity, an escape, or a marker of emphasis, of a link or of an image.
const UNDECIDED_END = /(?:<\/?[a-z]{0,6}|&#?[a-z0-9]{0,10}|\\|!?\[|!)$|[*_~]{1,3}$/i;

/**
 * @param {string} source that is growing
 * @returns {string} without a last line of markers only; a table's first row with its delimiter row
 */
export function holdLine(source) {
  const start = source.lastIndexOf("\n") + 1;
  const line = source.slice(start, start + MAX_HELD + 1);
  const isUndecided = line.length <= MAX_HELD && UNDECIDED_LINE.test(line);
  const shown = isUndecided ? source.slice(0, start) : source;
  return completeTable(shown);
}

function completeTable(source) {
  const [before, row] = lastLines(source.endsWith("\n") ? source.slice(0, -1) : source);
  if (!TABLE_ROW.test(row) || before.trim() !== "") return source;
  const columns = row.replaceAll(/\\\|/g, "").trim().replace(/^\|/, "").replace(/\|$/, "").split("|").length;
  return `${source.trimEnd()}\n${"|-".repeat(columns)}|`;
}

/** Return the last two lines. */
function lastLines(source) {
  const end = source.lastIndexOf("\n");
  if (end === -1) return ["", source];
  return [source.slice(source.lastIndexOf("\n", end - 1) + 1, end), source.slice(end + 1)];
}

/**
 * @param {string} content of the last paragraph, heading or cell, which is growing
 * @returns {string} without undecided markers at its end; open code is closed, an open link is its text
 */
export function holdMarkers(content) {
  const start = content.lastIndexOf("\n") + 1;
  const line = content.slice(start);
  const run = openCode(line);
  if (run) return line.endsWith(run) ? content.slice(0, -run.length) : content + run;
  return content.slice(0, start) + withoutOpenLink(line).replace(UNDECIDED_END, "");
}

/** Return the run of backticks that the line leaves open, or "". */
function openCode(line) {
  const runs = [...line.matchAll(/`+/g)].map(([run]) => run);
  const last = new Map(runs.map((run, index) => [run, index]));
  let index = 0;
  while (index < runs.length) {
    const run = runs[index];
    if (last.get(run) === index) return run;
    index = runs.indexOf(run, index + 1) + 1;
  }
  return "";
}

/** Replace the last link or image by its text while it is open. */
function withoutOpenLink(line) {
  const open = line.lastIndexOf("[");
  const before = line.slice(0, Math.max(open, 0));
  if (open === -1 || line.length - open > MAX_LINK || /\w$/.test(before.slice(-1))) return line;
  const close = line.indexOf("]", open);
  const label = line.slice(open + 1, close === -1 ? line.length : close);
  const target = close === -1 ? "" : line.slice(close + 1);
  return target === "" || (target[0] === "(" && isOpen(target.slice(1))) ? before.replace(/!$/, "") + label : line;
}

/** Return whether an address and its title, from after the bracket, have not ended. */
function isOpen(target) {
  let level = 1;
  for (const character of target) {
    if (character === "(") level += 1;
    if (character === ")") level -= 1;
    if (level === 0) return false;
  }
  return true;
}
