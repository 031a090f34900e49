export type Approval = import("./approvals.js").Approval;
export type Message = import("./message.js").Message;
export type UnsentMessage = import("./outbox.js").UnsentMessage;
export type UnsentSignal = import("./outbox.js").UnsentSignal;
export type SignalRecord = import("./protocol.js").SignalRecord;
export type SessionSnapshot = Pick<import("./session.js").Session, "messages" | "replaced" | "signals" | "approvals" | "title" | "older" | "ready" | "gone" | "caughtUp" | "working" | "stopping">;
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
export declare function snapshotOf(session: import("./session.js").Session, last: SessionSnapshot | null): SessionSnapshot;
