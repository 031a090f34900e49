export type FoldedMessage = import("./message.js").FoldedMessage;
export type FoldedPart = import("./message.js").FoldedPart;
export type Approval = {
    /**
     * id of the approval
     */
    approval: string;
    /**
     * id of the message that contains the call
     */
    message: string;
    /**
     * id of the tool call
     */
    call: string;
    /**
     * name
     */
    tool: string;
    /**
     * arguments; integers beyond 2^53 as text
     */
    input: any;
    /**
     * their exact JSON text
     */
    inputText?: string;
    /**
     * the agent's reason to ask
     */
    reason: string | undefined;
    descriptor: import("./message.js").ApprovalDescriptor;
};
export type AskingCall = {
    message: FoldedMessage;
    part: FoldedPart;
};
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
export declare function askingCalls(messages: Iterable<FoldedMessage>): AskingCall[];
/** Whether a part is a call that waits for a decision, or for its result from a client. @param {FoldedPart} part */
export declare function asksPeople({ state, approval, toolMetadata }: FoldedPart): boolean;
/** @param {AskingCall} call */
export declare function isPending({ message, part }: AskingCall): boolean;
/** @param {AskingCall} asking @returns {Approval} */
export declare function asApproval({ message, part: { type, toolName, toolCallId, input, approval } }: AskingCall): Approval;
