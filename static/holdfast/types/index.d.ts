export { Holdfast } from "./client.js";
export { Session } from "./session.js";
export type Connection = import("./client.js").Holdfast["connection"];
export type Message = import("./message.js").Message;
export type Part = import("./message.js").Part;
export type ProtocolError = import("./protocol.js").ProtocolError;
export type Receipt = import("./protocol.js").Receipt;
export type SignalRecord = import("./protocol.js").SignalRecord;
export type Approval = import("./session.js").Approval;
export type SessionEvents = import("./session.js").SessionEvents;
export type UnsentMessage = import("./session.js").UnsentMessage;
export type UnsentSignal = import("./session.js").UnsentSignal;
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
