// Earlier messages of a session, loaded by the REST API beside the frames that go on to come.

import { applyPatch } from "./fold.js";
import { parseCursor } from "./protocol.js";

/** @typedef {import("./session-state.js").SessionState} SessionState */
/** @typedef {import("./network/rest.js").Rest} Rest */

/** Loads under way: one at a time for each session. @type {WeakMap<SessionState, Promise<string[]>>} */
const loading = new WeakMap();

/**
 * Load the messages before the earliest one here, unless that is under way.
 * @param {SessionState} state @param {Rest} rest @param {string} session id @param {number} [limit]
 * @returns {Promise<string[]>} ids of the new ones
 */
export function loadOlder(state, rest, session, limit = 30) {
  const known = loading.get(state);
  if (known) return known;
  const load = loadBefore(state, rest, session, limit).finally(() => {
    loading.delete(state);
    state.missed = null;
  });
  loading.set(state, load);
  return load;
}

/**
 * Those that events have changed meanwhile are loaded again.
 * @param {SessionState} state @param {Rest} rest @param {string} session @param {number} limit
 * @returns {Promise<string[]>}
 */
async function loadBefore(state, rest, session, limit) {
  for (;;) {
    const [earliest] = state.messages.values();
    if (!earliest || !state.older || state.cursor === null) return [];
    const { epoch } = parseCursor(state.cursor);
    const before = earliest.first_serial;
    const missed = (state.missed = new Map());
    const { results, more } = await rest.getMessages(session, { before, limit, replaced: state.keepsReplaced });
    const [first] = state.messages.values();
    const isReset = parseCursor(state.cursor ?? "").epoch !== epoch || first?.first_serial !== before;
    const isStale = results.some(({ id, last_serial: last }) => (missed.get(id) ?? 0) > last);
    if (isReset || isStale) continue;
    const added = results.map((message) => applyPatch(undefined, { ...message, from: 0, at: 0 }));
    state.messages = new Map([...added, ...state.messages.values()].map((message) => [message.id, message]));
    state.older = more;
    return added.map(({ id }) => id);
  }
}
