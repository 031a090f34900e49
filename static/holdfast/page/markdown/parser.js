// CommonMark and GFM with rules for chat text, by markdown-it; every input takes linear time.
import MarkdownIt from "../../vendor/markdown-it.mjs";
import { useBareLinks } from "./bare-links.js";
import { useEmphasis } from "./emphasis.js";
import { useLatex } from "./latex.js";
import { usePlainTags } from "./plain-tags.js";
import { useLimits } from "./limits.js";

// Levels of recursion in markdown-it: brackets in brackets. Beyond them it drops blocks, so `limits.js` has less.
const MAX_RECURSION = 40;

/** @typedef {{title: string, href: string}} Reference */
/** @typedef {Record<string, Reference>} References link definitions by normalized label */

// HTML is read so that it can be shown as it was written, and nothing in it taken for Markdown.
const markdown = new MarkdownIt({ html: true, linkify: true, maxNesting: MAX_RECURSION });
// The page decides which addresses are links; a link that is none is shown by its text.
markdown.validateLink = () => true;
useLimits(markdown);
useEmphasis(markdown);
useLatex(markdown);
usePlainTags(markdown);
useBareLinks(markdown);

/**
 * @param {string} source
 * @param {References} references receives the link definitions
 * @returns {object[]} block tokens; their inline content is unparsed
 */
export function parseBlocks(source, references) {
  const tokens = [];
  markdown.block.parse(source, markdown, { references, unclosed: new Map() }, tokens);
  return tokens;
}

/**
 * @param {string} content of a paragraph, heading or cell
 * @param {References} references
 * @param {boolean} growing whether more is to come, so that what is open counts as closed
 * @returns {object[]} inline tokens
 */
export function parseInline(content, references, growing) {
  const tokens = [];
  markdown.inline.parse(content, markdown, { references, growing }, tokens);
  return tokens;
}
