// What is typed and not sent, kept per conversation across reloads.

const PREFIX = "holdfast.draft.";

/** @param {string|null} id @returns {string} */
export function loadDraft(id) {
  return attempt(() => localStorage.getItem(key(id))) ?? "";
}

/** @param {string|null} id of a conversation, null for one not begun @param {string} text empty forgets it */
export function saveDraft(id, text) {
  attempt(() => (text ? localStorage.setItem(key(id), text) : localStorage.removeItem(key(id))));
}

function key(id) {
  return PREFIX + (id ?? "new");
}

// A browser may forbid storage or have none left; then a draft lives as long as the page.
function attempt(use) {
  try {
    return use();
  } catch {
    return null;
  }
}
