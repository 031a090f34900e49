// The CSRF token of this page's cookies, for requests that change something.

/** @returns {string} the token, or "" without a page or a cookie */
export function csrfToken() {
  const cookies = `; ${globalThis.document?.cookie}`;
  // A site over https prefixes the name. A cookie without it is then old, or another's who shares the host.
  return cookies.match(/; __Host-csrftoken=([^;]*)/)?.[1] ?? cookies.match(/; csrftoken=([^;]*)/)?.[1] ?? "";
}
