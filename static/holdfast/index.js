// Entry point of the package holdfast-client.

export { Holdfast } from "./client.js";
export { Session } from "./session.js";

/** @typedef {import("./client.js").Holdfast["connection"]} Connection */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./message.js").Part} Part */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/** @typedef {import("./session.js").Approval} Approval */
/** @typedef {import("./session.js").SessionEvents} SessionEvents */
/** @typedef {import("./session.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./session.js").UnsentSignal} UnsentSignal */
