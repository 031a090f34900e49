export { Holdfast } from "./client.js";
export { Session } from "./session.js";
export type Connection = import("./client.js").Holdfast["connection"];
export type Message<PartType = import("./message.js").Part> = import("./message.js").Message<PartType>;
export type Part = import("./message.js").Part;
export type ProtocolError = import("./protocol.js").ProtocolError;
export type Receipt = import("./protocol.js").Receipt;
export type SignalRecord = import("./protocol.js").SignalRecord;
export type Approval = import("./approvals.js").Approval;
export type SessionEvents = import("./events.js").SessionEvents;
export type Chunk = import("./message.js").Chunk;
export type NewMessage = import("./outbox.js").NewMessage;
export type UnsentMessage = import("./outbox.js").UnsentMessage;
export type UnsentSignal = import("./outbox.js").UnsentSignal;
export type SessionRecord = import("./network/rest.js").SessionRecord;
export type SessionSnapshot = import("./snapshot.js").SessionSnapshot;
/** @typedef {import("./client.js").Holdfast["connection"]} Connection */
/** @template [PartType=import("./message.js").Part] @typedef {import("./message.js").Message<PartType>} Message */
/** @typedef {import("./message.js").Part} Part */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/** @typedef {import("./approvals.js").Approval} Approval */
/** @typedef {import("./events.js").SessionEvents} SessionEvents */
/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./outbox.js").NewMessage} NewMessage */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./outbox.js").UnsentSignal} UnsentSignal */
/** @typedef {import("./network/rest.js").SessionRecord} SessionRecord */
/** @typedef {import("./snapshot.js").SessionSnapshot} SessionSnapshot */
