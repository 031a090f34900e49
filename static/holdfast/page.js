// What the browser knows before the socket does: the network came or went, the page was woken.

/**
 * @param {Window} page
 * @param {(event: "online"|"offline"|"woken") => void} notify
 */
export function watchPage(page, notify) {
  page.addEventListener?.("online", () => notify("online"));
  page.addEventListener?.("offline", () => notify("offline"));
  page.addEventListener?.("pageshow", () => notify("woken")); // from the back-forward cache, with a dead socket
  page.document?.addEventListener("visibilitychange", () => page.document.hidden || notify("woken"));
}

/** @returns {Storage|null} null where the browser forbids it */
export function pageStorage(page) {
  try {
    return page.localStorage ?? null;
  } catch {
    return null;
  }
}
