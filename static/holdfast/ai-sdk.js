// A ChatTransport for the AI SDK's `useChat`, over Holdfast's client: its transports, its outbox, its resumes.

/** @typedef {import("ai").UIMessage} UIMessage */
/** @typedef {import("ai").UIMessageChunk} UIMessageChunk */
/** @template {UIMessage} Any @typedef {import("ai").ChatTransport<Any>} ChatTransport */
/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").FoldedMessage} FoldedMessage */
/** @typedef {import("./message.js").FoldedPart} FoldedPart */
/** @typedef {import("./session.js").Session} Session */

const SIGNAL_ID = /^[\w-]{8,64}$/;
// Statuses of a signal that nothing comes of.
const REFUSED = ["rejected", "expired"];

/**
 * The chat's id is the session's, unless `session` says otherwise. Aborting (stop, unmounting) ends the stream and nothing else:
 * call `cancel(chatId)` to stop the agent.
 * @template {UIMessage} [Message=UIMessage]
 * @implements {ChatTransport<Message>}
 */
export class HoldfastChatTransport {
  /** A resumed stream begins with all that there is of the response. */
  resumeStreamIsReplay = true;
  #holdfast;
  #sessionOf;
  /** By the chat's id. @type {Map<string, Promise<Session>>} */
  #sessions = new Map();

  /**
   * @param {import("./client.js").Holdfast} holdfast
   * @param {{session?: (chatId: string) => string|Promise<string>}} [options] `session` returns the id of a chat's session
   */
  constructor(holdfast, { session = (chatId) => chatId } = {}) {
    this.#holdfast = holdfast;
    this.#sessionOf = session;
  }

  /** The session of a chat, followed until `close`. @param {string} chatId @returns {Promise<Session>} */
  session(chatId) {
    const known = this.#sessions.get(chatId);
    if (known) return known;
    const session = this.#follow(chatId);
    this.#sessions.set(chatId, session);
    session.catch(() => this.#sessions.delete(chatId)); // the next request tries again
    return session;
  }

  /** @param {string} chatId */
  async #follow(chatId) {
    return this.#holdfast.session(await this.#sessionOf(chatId));
  }

  /** Stop the agent. @param {string} chatId */
  async cancel(chatId) {
    return (await this.session(chatId)).cancel();
  }

  /** Stop following every session. */
  close() {
    for (const session of this.#sessions.values()) session.then((followed) => followed.detach(), () => {});
    this.#sessions.clear();
  }

  /**
   * @param {Parameters<ChatTransport<Message>["sendMessages"]>[0]} request
   * @returns {Promise<ReadableStream<UIMessageChunk>>}
   */
  async sendMessages({ trigger, chatId, messageId, messages, abortSignal }) {
    const session = await this.session(chatId);
    await until(session, () => session.ready, abortSignal);
    const last = messages.at(-1);
    if (trigger === "regenerate-message") {
      // How useChat tries again where a message could not be sent.
      const isLost = last?.role === "user" && SIGNAL_ID.test(last.id) && session.messages.every(({ id }) => id !== last.id);
      const resends = isLost && [undefined, last.id].includes(messageId);
      return resends ? this.#send(session, last, abortSignal) : this.#regenerate(session, messageId, abortSignal);
    }
    if (last?.role === "assistant") return this.#goOn(session, last, abortSignal);
    if (!last || messageId !== undefined) throw new Error("Holdfast can't change a message that was sent");
    return this.#send(session, last, abortSignal);
  }

  /**
   * @param {Parameters<ChatTransport<Message>["reconnectToStream"]>[0]} request
   * @returns {Promise<ReadableStream<UIMessageChunk>|null>} null if no response is being written
   */
  async reconnectToStream({ chatId, abortSignal }) {
    const session = await this.session(chatId);
    await until(session, () => session.ready, abortSignal);
    const messages = /** @type {FoldedMessage[]} */ (session.messages);
    const active = messages.findLast(({ status }) => status === "streaming");
    return active && !waitsForPeople(session, active) ? new ResponseStream(session, active.id, abortSignal).stream() : null;
  }

  /** @param {Session} session @param {UIMessage} message @param {AbortSignal} [abort] */
  async #send(session, { id, parts, metadata }, abort) {
    // Of a text, the chat may know more than a session keeps.
    const kept = parts.map((part) => (part.type === "text" ? { type: "text", text: part.text } : part));
    const given = { parts: kept, ...(metadata != null && { metadata: /** @type {object} */ (metadata) }) };
    // A retry with the same id counts once.
    const sent = await session.send({ ...given, ...(SIGNAL_ID.test(id) && { id }) });
    const response = await until(session, () => responseTo(session, sent.id), abort);
    return new ResponseStream(session, response, abort).stream();
  }

  /** @param {Session} session @param {string|undefined} messageId @param {AbortSignal} [abort] */
  async #regenerate(session, messageId, abort) {
    const answers = session.messages.filter(({ role }) => role === "assistant");
    const old = /** @type {FoldedMessage|undefined} */ (answers.findLast(({ id }) => id === (messageId ?? id)));
    if (!old) throw new Error("There is no response to regenerate");
    const { id, serial } = await session.retry(old.id, "regenerate");
    const find = () => {
      checkSignal(session, id);
      const others = /** @type {FoldedMessage[]} */ (session.messages);
      return others.findLast(({ role, first_serial: first }) => role === "assistant" && first > serial)?.id;
    };
    const response = await until(session, find, abort);
    return new ResponseStream(session, response, abort).stream();
  }

  /**
   * Send what the chat has decided about tool calls, and go on with their message.
   * @param {Session} session @param {UIMessage} message @param {AbortSignal} [abort]
   */
  async #goOn(session, message, abort) {
    await import("./chunks.js"); // at hand: what follows is read from here on, before the decisions are sent
    const stored = session.messages.find(({ id }) => id === message.id);
    const parts = /** @type {FoldedPart[]} */ (stored?.parts ?? []);
    const response = new ResponseStream(session, message.id, abort, false);
    try {
      await Promise.all(message.parts.map((part) => sendDecision(session, message.id, part, parts)));
    } catch (error) {
      response.end();
      throw error;
    }
    return response.stream();
  }
}

/**
 * Send the result or the decision of one part, if the session waits for it.
 * @param {Session} session @param {string} message @param {FoldedPart} part of the chat @param {FoldedPart[]} stored
 */
async function sendDecision(session, message, part, stored) {
  const call = stored.findLast(({ toolCallId }) => toolCallId !== undefined && toolCallId === part.toolCallId);
  if (!call) return;
  const { state, approval, output, errorText, toolCallId } = part;
  if (state === "approval-responded" && call.state === "approval-requested") {
    const { id, approved, reason } = approval;
    await (approved ? session.approve(id, { reason }) : session.deny(id, reason));
  } else if (call.state === "input-available" && state === "output-available") {
    await session.toolResult(message, toolCallId, { output });
  } else if (call.state === "input-available" && state === "output-error") {
    await session.toolResult(message, toolCallId, { error: errorText });
  }
}

/** The response to a message: one of its own, or the one that it steers. @param {Session} session @param {string} id */
function responseTo(session, id) {
  const record = checkSignal(session, id);
  const messages = /** @type {FoldedMessage[]} */ (session.messages);
  return messages.find(({ role, parent }) => role === "assistant" && parent === id)?.id ?? record?.message ?? undefined;
}

/** @param {Session} session @param {string} id @throws {Error} when nothing comes of it */
function checkSignal(session, id) {
  const record = session.signals.find((signal) => signal.id === id);
  if (!record || !REFUSED.includes(record.status)) return record;
  throw Object.assign(new Error(record.reason ?? `The message was ${record.status}`), { code: record.code });
}

/**
 * Wait for a value of the session.
 * @template Value
 * @param {Session} session
 * @param {() => Value|undefined|false} find
 * @param {AbortSignal} [abort]
 * @returns {Promise<Value>} rejects when the session is gone, or with the reason of the abort
 */
function until(session, find, abort) {
  return new Promise((resolve, reject) => {
    const ignore = () => {
      session.removeEventListener("change", look);
      abort?.removeEventListener("abort", look);
    };
    const look = () => {
      try {
        abort?.throwIfAborted();
        const value = find();
        if (value === undefined || value === false) {
          if (!session.gone) return;
          throw Object.assign(new Error(session.gone.message), session.gone);
        }
        resolve(value);
      } catch (error) {
        reject(error);
      }
      ignore();
    };
    session.addEventListener("change", look);
    abort?.addEventListener("abort", look);
    look();
  });
}

/**
 * A response that is read until it ends, or until all that is left to do waits for people: `Chat` sends nothing while it
 * streams.
 */
class ResponseStream {
  #id;
  #replay;
  #ending = new AbortController();
  #chunks;
  /** Asked for at once: from then on nothing is missed. */
  #next;

  /** @param {Session} session @param {string} id @param {AbortSignal} [abort] @param {boolean} [replay] */
  constructor(session, id, abort, replay = true) {
    this.#id = id;
    this.#replay = replay;
    const { signal } = this.#ending;
    const until = (/** @type {FoldedMessage} */ message) => waitsForPeople(session, message);
    this.#chunks = session.chunks(id, { signal, replay, until });
    this.#next = this.#chunks.next();
    this.#next.catch(() => {}); // the stream tells
    if (abort?.aborted) this.end();
    abort?.addEventListener("abort", () => this.end(), { signal });
  }

  /** Stop reading. The session goes on: nothing is cancelled. */
  end() {
    this.#ending.abort();
  }

  /** @returns {ReadableStream<UIMessageChunk>} */
  stream() {
    return new ReadableStream({
      // The chat goes on with the message that it has.
      start: (controller) => this.#replay || controller.enqueue({ type: "start", messageId: this.#id }),
      pull: (controller) => this.#pull(controller),
      cancel: () => this.end(),
    });
  }

  /** @param {ReadableStreamDefaultController<UIMessageChunk>} controller */
  async #pull(controller) {
    for (;;) {
      const { done, value } = await this.#next;
      if (done) return controller.close();
      this.#next = this.#chunks.next();
      this.#next.catch(() => {});
      const chunk = forAiSdk(value);
      if (chunk) return controller.enqueue(chunk);
    }
  }
}

/**
 * Whether all that is left to do in a message are decisions and results that have not been sent.
 * @param {Session} session @param {FoldedMessage} message
 */
function waitsForPeople(session, { id, status, parts, open }) {
  const isWriting = Object.values(open).some((ids) => Object.keys(ids).length);
  const calls = parts.filter(({ toolCallId, state }) => toolCallId !== undefined && !isSettled(state));
  if (status !== "streaming" || isWriting || !calls.length) return false;
  const pending = session.approvals.map(({ approval }) => approval);
  const given = session.signals.flatMap(({ kind, status, payload }) => {
    return kind === "tool-result" && payload.message === id && !REFUSED.includes(status) ? [payload.call] : [];
  });
  return calls.every(({ state, approval, toolCallId, toolMetadata }) => {
    if (state === "approval-requested") return pending.includes(approval.id);
    return state === "input-available" && toolMetadata?.holdfast?.client === true && !given.includes(toolCallId);
  });
}

/** @param {string} state of a call */
function isSettled(state) {
  return state === "output-available" || state === "output-error" || state === "output-denied";
}

/**
 * Return a chunk of a response as the AI SDK takes it: it knows no `interrupt`, and of a whole `message` there is no stream.
 * @param {Chunk} chunk @returns {UIMessageChunk|null}
 */
export function forAiSdk(chunk) {
  const { type, reason } = chunk;
  if (type === "message") return null;
  const known = type === "interrupt" ? { type: "finish", finishReason: "interrupted", reason } : chunk;
  return /** @type {UIMessageChunk} */ (known);
}
