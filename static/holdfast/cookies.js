// Blocked cookies: a page that is not recognized, because its browser keeps none.

import { orNull } from "./or-null.js";

/** @typedef {{code: string, message: string}} Reason */

/** The reason why a page isn't recognized, in place of the server's, which can only say that nobody is signed in. */
const COOKIES_BLOCKED = {
  code: "cookies_blocked",
  message: "This browser blocks cookies. Allow them for this site, then reload",
};

/** Whether the browser keeps no cookies for this page. @param {Window & typeof globalThis} page */
function blocksCookies(page) {
  const { document } = page;
  if (!document) return false;
  const kept = orNull(() => {
    document.cookie = "holdfast_probe=1; SameSite=Lax";
    const found = document.cookie.includes("holdfast_probe=1");
    document.cookie = "holdfast_probe=; Max-Age=0";
    return found;
  });
  return !kept;
}

/**
 * Return a reason, or in place of `signed_out` that cookies are blocked, if they are. With a token it is never `signed_out`.
 * @template {{code?: string, message?: string}|null} Any
 * @param {Any} reason
 * @param {Window & typeof globalThis} page
 * @returns {Any|Reason}
 */
export function seeCookies(reason, page) {
  return reason?.code === "signed_out" && blocksCookies(page) ? COOKIES_BLOCKED : reason;
}
