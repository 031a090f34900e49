// Addresses that the page links to.

// No relative addresses: an agent's text must not offer actions on this site.
const LINK = /^(https?:\/\/|mailto:)/i;

/**
 * @param {string} address
 * @returns {boolean} whether it is safe as a link
 */
export function isSafeLink(address) {
  return LINK.test(address);
}
