// HTML sanitizer, through which all HTML enters the page.
import DOMPurify from "../vendor/dompurify.mjs";

const RULES = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol",
    "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
  ],
  ALLOWED_ATTR: ["align", "href", "start", "title"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// No relative addresses: an agent's text must not offer actions on this site.
const LINK = /^(https?:\/\/|mailto:)/i;

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") secureLink(node);
});

/**
 * @param {string} html
 * @returns {DocumentFragment} sanitized
 */
export function sanitize(html) {
  return DOMPurify.sanitize(html, RULES);
}

/**
 * @param {string} address
 * @returns {boolean} whether it is safe as a link
 */
export function isSafeLink(address) {
  return LINK.test(address);
}

function secureLink(link) {
  if (!isSafeLink(link.getAttribute("href") ?? "")) {
    link.removeAttribute("href");
    return;
  }
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer nofollow");
}
