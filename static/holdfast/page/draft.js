// Drafts: text typed and not sent, kept per conversation across reloads, where the browser allows storage.
import { orNull } from "../or-null.js";

const PREFIX = "holdfast.draft.";

/** @param {string|null} id @returns {string} */
export function loadDraft(id) {
  return orNull(() => localStorage.getItem(key(id))) ?? "";
}

/** @param {string|null} id of a conversation, null for a new one @param {string} text empty removes the draft */
export function saveDraft(id, text) {
  orNull(() => (text ? localStorage.setItem(key(id), text) : localStorage.removeItem(key(id))));
}

function key(id) {
  return PREFIX + (id ?? "new");
}
