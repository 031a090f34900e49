// Immutable snapshots of a session, for frameworks that compare by identity.

/** @typedef {import("./approvals.js").Approval} Approval */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./outbox.js").UnsentSignal} UnsentSignal */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */

/**
 * State of a session at one moment. Nothing in it changes; what hasn't changed is the same object in the next one.
 * @typedef {Pick<import("./session.js").Session, "messages"|"replaced"|"signals"|"approvals"|"title"|"older"|"ready"
 *   |"gone"|"caughtUp"|"working"|"stopping">} SessionSnapshot
 */

/**
 * @param {import("./session.js").Session} session
 * @param {SessionSnapshot|null} last the snapshot before
 * @returns {SessionSnapshot}
 */
export function snapshotOf(session, last) {
  const { title, older, ready, gone, caughtUp, working, stopping } = session;
  return {
    ...{ title, older, ready, gone, caughtUp, working, stopping },
    messages: reuse(session.messages, last?.messages, idOf, freshMessage),
    replaced: reuse(session.replaced, last?.replaced, idOf, freshMessage),
    signals: reuse(session.signals, last?.signals, idOf, freshRecord),
    approvals: reuse(session.approvals, last?.approvals, ({ approval }) => approval, freshRecord),
  };
}

/** @param {{id: string}} item */
function idOf({ id }) {
  return id;
}

/**
 * @template Item
 * @param {Item[]} items
 * @param {Item[]|undefined} last those of the snapshot before
 * @param {(item: Item) => string} key
 * @param {(item: Item, last: Item|undefined) => Item} fresh `last`, or what takes its place
 * @returns {Item[]} `last` itself if nothing has changed
 */
function reuse(items, last = [], key, fresh) {
  const known = new Map(last.map((item) => [key(item), item]));
  const all = items.map((item) => fresh(item, known.get(key(item))));
  return all.length === last.length && all.every((item, index) => item === last[index]) ? last : all;
}

/** @template {Message|UnsentMessage} Any @param {Any} message @param {Any} [last] @returns {Any} */
function freshMessage(message, last) {
  if (last?.revision === message.revision) return last;
  const parts = message.parts.map((part, index) => freshRecord({ ...part }, last?.parts[index]));
  return "open" in message ? { ...message, parts, open: structuredClone(message.open) } : { ...message, parts };
}

/** @template {object} Any @param {Any} record @param {Any} [last] @returns {Any} */
function freshRecord(record, last) {
  // Values within are replaced, never changed.
  const names = /** @type {(keyof Any)[]} */ (Object.keys({ ...record, ...last }));
  return last && names.every((name) => record[name] === last[name]) ? last : record;
}
