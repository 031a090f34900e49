// Entry point of the package holdfast-client.

export { Holdfast } from "./client.js";
export { Session } from "./session.js";

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
