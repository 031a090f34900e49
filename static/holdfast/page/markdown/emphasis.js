// Emphasis beside scripts without spaces, and in text that is still growing.

const BLANK = /^\s$/u;
const EMOJI = /^\p{Emoji_Presentation}$/u;
// CommonMark CJK-friendly amendments: wide and half-width characters of East Asian Width, and Hangul; besides, the
// scripts of South-East Asia that write no spaces either.
const UNSPACED = new RegExp(
  `^[${[
    "\\p{scx=Hangul}\\u2e80-\\u303e\\u3041-\\u4dbf\\u4e00-\\ua4cf\\uf900-\\ufaff",
    "\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff01-\\uffdc\\uffe0-\\uffee",
    "\\u{16fe0}-\\u{18d8f}\\u{1aff0}-\\u{1b2ff}\\u{20000}-\\u{3fffd}",
    "\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmer}\\p{sc=Myanmar}\\p{sc=Tibetan}",
  ].join("")}]$`,
  "u",
);
const FIRST_UNSPACED = "\u0e00";
// Selectors of a glyph's form belong to the character before them.
const FORM = /^[\ufe00-\ufe0e\u{e0100}-\u{e01ef}]$/u;
const QUOTATION = /^[‘’“”]$/;
const WIDE_QUOTATION = "「";

/** @param {import("../../vendor/markdown-it.mjs").default} markdown */
export function useEmphasis(markdown) {
  markdown.inline.State = unspacedState(markdown.inline.State);
  markdown.inline.ruler2.after("balance_pairs", "open_emphasis", closeOpen);
}

function unspacedState(State) {
  return class extends State {
    scanDelims(start, canSplitWord) {
      const scanned = super.scanDelims(start, canSplitWord);
      if (!canSplitWord) return scanned;
      const before = characterBefore(this.src, start);
      const after = String.fromCodePoint(this.src.codePointAt(start + scanned.length) ?? 0x20);
      if (!isUnspaced(before) && !isUnspaced(after)) return scanned;
      return { ...scanned, can_open: !BLANK.test(after), can_close: !BLANK.test(before) };
    }
  };
}

/** Return the character before `end`, with the width that a selector after it gives it. */
function characterBefore(text, end) {
  const last = codePointBefore(text, end);
  if (!FORM.test(last)) return last;
  const main = codePointBefore(text, end - last.length);
  return QUOTATION.test(main) && last === "\ufe01" ? WIDE_QUOTATION : main;
}

function codePointBefore(text, end) {
  if (end <= 0) return " ";
  const low = text.charCodeAt(end - 1);
  const isPair = low >= 0xdc00 && low <= 0xdfff && end > 1;
  const code = isPair ? text.codePointAt(end - 2) : low;
  return String.fromCodePoint(code > 0xffff ? code : low);
}

function isUnspaced(character) {
  return character >= FIRST_UNSPACED && UNSPACED.test(character) && !EMOJI.test(character);
}

/** Close the emphasis that the last line of growing text has opened, so that no markers flash up. */
function closeOpen(state) {
  if (!state.env.growing) return;
  const open = openers(state.delimiters, lastBreak(state.tokens));
  for (const opener of open.reverse()) {
    state.push("text", "", 0);
    const { marker, length } = opener;
    opener.end = state.delimiters.length;
    state.delimiters.push({ marker, length, token: state.tokens.length - 1, end: -1, open: false, close: true });
  }
}

function openers(delimiters, after) {
  const found = [];
  for (let index = 0; index < delimiters.length; index += 1) {
    const { end, token } = delimiters[index];
    if (end >= 0) index = end;
    else if (token > after && opens(delimiters[index])) found.push(delimiters[index]);
  }
  return found;
}

// A single marker within a word, or after a word, is more likely a product or a footnote.
function opens({ open, close, length }) {
  return open && !(close && length === 1);
}

function lastBreak(tokens) {
  return tokens.findLastIndex(({ tag }) => tag === "br");
}
