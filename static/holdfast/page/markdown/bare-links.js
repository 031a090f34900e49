// Addresses written without Markdown: https://…, www.… and email addresses.
import MarkdownIt from "../../vendor/markdown-it.mjs";

// Longer ones are text.
const MAX_LENGTH = 2048;
// White space, angle brackets, code, and punctuation that addresses only have escaped, and that in text without spaces
// follows them directly: full-width, of quotations, Arabic, Indic.
const OUTSIDE = [
  "\\s<>`",
  "\\u2014\\u2018-\\u201f\\u2026\\u00ab\\u00bb",
  "\\u3000-\\u3004\\u3008-\\u3020\\u3030\\u303d\\ufe10-\\ufe1f\\ufe30-\\ufe6f",
  "\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65",
  "\\u060c\\u061b\\u061f\\u06d4\\u0964\\u0965",
].join("");
const WORDS = new RegExp(`[^${OUTSIDE}]+`, "gu");
const END = new RegExp(`[${OUTSIDE}]|\\*\\*|~~`, "u");
const NAME = /[\w.+-]/;
const WEB = /^https?:/i;
const WWW = /(?<![\p{L}\p{N}_.@/-])www\./iu;

const linkify = new MarkdownIt().linkify.set({ fuzzyLink: false, fuzzyIP: false, fuzzyEmail: true });
for (const schema of ["//", "ftp:"]) linkify.add(schema, null);

/**
 * Have markdown-it find addresses with a scheme while it parses, before it sees emphasis in them.
 * @param {import("../../vendor/markdown-it.mjs").default} markdown
 */
export function useBareLinks(markdown) {
  markdown.linkify = { matchAtStart: (text) => (WEB.test(text) ? matchStart(text) : null) };
}

/**
 * Split text into strings and links: addresses that begin with "www.", and of email.
 * @param {string} text
 * @returns {(string | {href: string, text: string})[]}
 */
export function splitLinks(text) {
  if (!/@|www\./i.test(text)) return [text];
  const pieces = [];
  let done = 0;
  for (const { index, 0: word } of text.matchAll(WORDS)) {
    const link = wwwLink(word) ?? mailLink(word);
    if (!link) continue;
    const start = index + link.index;
    pieces.push(text.slice(done, start), { href: link.href, text: link.text });
    done = start + link.text.length;
  }
  return [...pieces, text.slice(done)].filter((piece) => piece !== "");
}

function matchStart(text) {
  const address = cut(text);
  return address === null ? null : linkify.matchAtStart(address);
}

/** Return the text up to the first character that no address has; null if it is too long. */
function cut(text) {
  const start = text.slice(0, MAX_LENGTH + 1);
  const end = start.search(END);
  if (end === -1 && start.length > MAX_LENGTH) return null;
  return end === -1 ? start : start.slice(0, end);
}

function wwwLink(word) {
  const index = word.search(WWW);
  if (index === -1) return null;
  const found = matchStart(`http://${word.slice(index, index + MAX_LENGTH)}`);
  if (!found) return null;
  return { index, href: found.url, text: found.raw.slice("http://".length) };
}

// After a script without spaces too: "邮箱x@example.com".
function mailLink(word) {
  const at = word.indexOf("@");
  if (at === -1 || word.length > MAX_LENGTH) return null;
  let start = at;
  while (start > 0 && NAME.test(word[start - 1])) start -= 1;
  const [found] = linkify.match(word.slice(start)) ?? [];
  return found && { index: start + found.index, href: found.url, text: found.raw };
}
