// Tool calls that ask, or asked, for a decision.

/** @typedef {import("./message.js").FoldedMessage} FoldedMessage */
/** @typedef {import("./message.js").FoldedPart} FoldedPart */

/**
 * A tool call that waits for a decision. `descriptor.expires_at`: ms, or null for never.
 * @typedef {object} Approval
 * @property {string} approval id of the approval
 * @property {string} message id of the message that contains the call
 * @property {string} call id of the tool call
 * @property {string} tool name
 * @property {any} input arguments; integers beyond 2^53 as text
 * @property {string} [inputText] their exact JSON text
 * @property {string|undefined} reason the agent's reason to ask
 * @property {import("./message.js").ApprovalDescriptor} descriptor
 */

/** @typedef {{message: FoldedMessage, part: FoldedPart}} AskingCall */

/** @param {Iterable<FoldedMessage>} messages @returns {AskingCall[]} their calls that ask or asked */
export function askingCalls(messages) {
  return [...messages].flatMap((message) =>
    message.parts.filter(({ approval }) => approval?.descriptor).map((part) => ({ message, part })),
  );
}

/** Whether a part is a call that waits for a decision, or for its result from a client. @param {FoldedPart} part */
export function asksPeople({ state, approval, toolMetadata }) {
  if (approval) return state === "approval-requested";
  return state === "input-available" && toolMetadata?.holdfast?.client === true;
}

/** @param {AskingCall} call */
export function isPending({ message, part }) {
  return message.status === "streaming" && part.state === "approval-requested";
}

/** @param {AskingCall} asking @returns {Approval} */
export function asApproval({ message, part: { type, toolName, toolCallId, input, approval } }) {
  const { id, requestReason, descriptor } = approval;
  const tool = toolName ?? type.slice("tool-".length);
  const exact = descriptor.input_text === undefined ? {} : { inputText: descriptor.input_text };
  return { approval: id, message: message.id, call: toolCallId, tool, input, ...exact, reason: requestReason, descriptor };
}
