export type Message = import("./message.js").FoldedMessage;
export type Part = import("./message.js").FoldedPart;
export type Answer = Message & {
    responses: string[];
};
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./message.js").FoldedPart} Part */
/**
 * An answer of a chain of continuations, under the id of the first. `responses`: ids of its messages, in order. `open` is
 * the last one's: its indexes are not those of `parts`.
 * @typedef {Message & {responses: string[]}} Answer
 */
/**
 * Join each chain of continuations. Other messages stay the same objects.
 * @template {{id: string}} Other
 * @param {(Message|Other)[]} messages in order
 * @returns {(Message|Answer|Other)[]}
 */
export declare function joinContinued<Other extends {
    id: string;
}>(messages: (Message | Other)[]): (Message | Answer | Other)[];
/** Ids of the messages of an answer, in order. @param {{id: string, responses?: string[]}} answer */
export declare function responsesOf({ id, responses }: {
    id: string;
    responses?: string[];
}): string[];
/**
 * The alternatives of an answer, itself among them, oldest first.
 * @param {Message|Answer} answer on show
 * @param {(Message|Answer)[]} replaced replaced messages in order, joined
 * @returns {(Message|Answer)[]}
 */
export declare function alternativesOf(answer: Message | Answer, replaced: (Message | Answer)[]): (Message | Answer)[];
