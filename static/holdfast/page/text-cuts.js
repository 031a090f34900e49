// Places where growing text may be cut: before words, and inside long ones between graphemes. Pure.

// UTF-16 code units after which a run without words, or a long word, may be cut too.
const LONG = 24;
// Text before the start that tells how the text after it divides: a grapheme or a word may have begun before.
const CONTEXT = 64;
// Spaces, and no character after them that is drawn onto the last one.
const SPACES = /\s+(?=\S)(?![\p{M}\p{Grapheme_Extend}\p{Emoji_Modifier}\u200d\u0e33\u0eb3])/gu;

// Firefox has it since version 125.
const segmenters = Intl.Segmenter && {
  words: new Intl.Segmenter(undefined, { granularity: "word" }),
  graphemes: new Intl.Segmenter(undefined, { granularity: "grapheme" }),
};

/**
 * @param {string} text
 * @param {number} start
 * @returns {number[]} offsets after `start` and before the end, rising, none inside a grapheme
 */
export function textCuts(text, start) {
  const from = Math.max(0, start - CONTEXT);
  const near = text.slice(from);
  const cuts = segmenters ? wordCuts(near) : spaceCuts(near);
  return cuts.map((cut) => from + cut).filter((cut, index, all) => cut > start && cut !== all[index - 1]);
}

// Signs before a word, such as the markers of Markdown, stay with it.
function wordCuts(text) {
  const graphemes = segmenters.graphemes.segment(text);
  const cuts = [0];
  let afterSpaces = 0;
  for (const { index, segment, isWordLike } of segmenters.words.segment(text)) {
    if (segment.trim() === "") afterSpaces = index + segment.length;
    if (!isWordLike && index - cuts.at(-1) < LONG) continue;
    const begin = afterSpaces > cuts.at(-1) ? afterSpaces : index;
    // A word may begin inside a grapheme, after a sign that belongs to the next letter.
    for (let at = begin; at < index + segment.length; at += LONG) cuts.push(graphemes.containing(at).index);
  }
  return cuts;
}

/** @param {string} text */
function spaceCuts(text) {
  return Array.from(text.matchAll(SPACES), ({ index, 0: spaces }) => index + spaces.length);
}
