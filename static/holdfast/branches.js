// Branches: continued answers as one, and the alternatives of an answer. Pure.

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
export function joinContinued(messages) {
  /** @type {(Message|Answer|Other)[]} */
  const answers = [];
  /** Where the answer is that ends with this message. @type {Map<string, number>} */
  const ends = new Map();
  for (const message of messages) {
    const at = "continues" in message && message.continues ? ends.get(message.continues) : undefined;
    if (at === undefined) {
      ends.set(message.id, answers.push(message) - 1);
    } else {
      answers[at] = join(/** @type {Answer} */ (answers[at]), /** @type {Message} */ (message));
      ends.set(message.id, at);
    }
  }
  return answers;
}

/** Ids of the messages of an answer, in order. @param {{id: string, responses?: string[]}} answer */
export function responsesOf({ id, responses }) {
  return responses ?? [id];
}

/**
 * The alternatives of an answer, itself among them, oldest first.
 * @param {Message|Answer} answer on show
 * @param {(Message|Answer)[]} replaced replaced messages in order, joined
 * @returns {(Message|Answer)[]}
 */
export function alternativesOf(answer, replaced) {
  if (!answer.parent) return [answer];
  const same = replaced.filter(({ role, parent }) => role === answer.role && parent === answer.parent);
  return [...same, answer];
}

/** @param {Message|Answer} earlier @param {Message} later @returns {Answer} */
function join(earlier, later) {
  return {
    ...later,
    id: earlier.id,
    first_serial: earlier.first_serial,
    created_at: earlier.created_at,
    parent: earlier.parent,
    continues: earlier.continues,
    parts: joinParts(earlier.parts, later.parts),
    responses: [...responsesOf(earlier), later.id],
  };
}

/**
 * The parts of both. A text that was broken off and goes on is one part, after the reasoning between.
 * @param {Part[]} earlier @param {Part[]} later @returns {Part[]}
 */
function joinParts(earlier, later) {
  const first = later.findIndex((part) => part?.type !== "step-start" && part?.type !== "reasoning");
  const end = earlier.at(-1);
  if (first < 0 || end?.type !== "text" || later[first]?.type !== "text") return [...earlier, ...later];
  const reasoning = later.slice(0, first).filter(({ type }) => type === "reasoning");
  const whole = { ...later[first], text: end.text + later[first].text };
  return [...earlier.slice(0, -1), ...reasoning, whole, ...later.slice(first + 1)];
}
