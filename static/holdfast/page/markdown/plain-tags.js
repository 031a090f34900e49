// HTML tags that are rendered, without attributes; any other HTML is shown as text.

const TAG = /<(\/?)(b|br|del|em|i|kbd|s|strong|sub|sup|u)[ \t]{0,9}\/?>/iy;
const TAGS = new RegExp(TAG.source, "gi");
const LESS_THAN = 0x3c;

/** @param {import("../../vendor/markdown-it.mjs").default} markdown */
export function usePlainTags(markdown) {
  markdown.inline.ruler.before("html_inline", "plain_tag", plainTag);
}

/** @param {string} html @returns {boolean} whether it has other tags than these */
export function hasOtherTags(html) {
  return html.replaceAll(TAGS, "").includes("<");
}

function plainTag(state, silent) {
  if (state.src.charCodeAt(state.pos) !== LESS_THAN) return false;
  TAG.lastIndex = state.pos;
  const [markup, slash, name] = TAG.exec(state.src) ?? [];
  if (!markup || state.pos + markup.length > state.posMax) return false;
  if (!silent) push(state, markup, slash, name.toLowerCase());
  state.pos += markup.length;
  return true;
}

// Not opening and closing tokens, which have to be balanced.
function push(state, markup, slash, name) {
  const token = name === "br" ? state.push("hardbreak", "br", 0) : state.push("plain_tag", name, 0);
  token.content = markup;
  token.info = slash;
}
