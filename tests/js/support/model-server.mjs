// A minimal server of PROTOCOL.md: sessions are logs in memory, their state is folded from scratch each time.

import { fold } from "../../../static/holdfast/fold.js";

export const LIMITS = { frame_bytes: 65_536, window_bytes: 4_000, ack_bytes: 1_000, ack_ms: 500, sessions: 100 };
export const HEARTBEAT_MS = 15_000;
export const ACTOR = "guest:1";
const NOT_FOUND = { code: "not_found", message: "Session not found, or it isn't yours", retryable: false };
const REWIND = 30;
const RECENT = 32;
const TOO_FAR = 400;

const cut = (cursor) => [cursor.slice(0, cursor.lastIndexOf("-")), Number(cursor.slice(cursor.lastIndexOf("-") + 1))];
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export class ModelServer {
  /** @type {Map<string, {epoch: string, log: object[], commits: number[], trimmed: number, title: string,
   *   signals: Map<string, number>}>} a commit is the tail after it, a signal the serial where it is stored */
  sessions = new Map();
  /** Every frame that a client sent, in order. */
  received = [];
  /** Decides about a new signal, by its id, payload and kind: an error to reject it with, or null. */
  judge = () => null;
  /** Whether the next `events` frame to a client is lost. */
  loses = () => false;
  recoveryWindowMs = 120_000;
  #clients = new Set();

  constructor(clock, network) {
    this.clock = clock;
    network.accept = (wire) => this.#accept(wire);
    const beat = () => {
      this.heartbeat();
      clock.setTimeout(beat, HEARTBEAT_MS);
    };
    clock.setTimeout(beat, HEARTBEAT_MS);
  }

  create(id, title = "A talk") {
    this.sessions.set(id, { epoch: "e1", log: [], commits: [0], trimmed: 0, title, signals: new Map() });
  }

  /** Append chunks to a message, in one commit. @returns {number} the tail */
  publish(id, message, ...chunks) {
    const begins = ({ type }) => type === "start" || type === "message";
    const event = (chunk) => ({ message, chunk, ...(begins(chunk) && { at: this.clock.now() }) });
    return this.#commit(id, chunks.map(event));
  }

  /** Begin a message at its place, in one commit. @param {object} place `parent`, `continues`, `replaces` @returns {number} */
  beginAt(id, message, place, chunk, ...more) {
    const events = more.map((chunk) => ({ message, chunk }));
    return this.#commit(id, [{ message, chunk, at: this.clock.now(), ...place }, ...events]);
  }

  /** Append a signal as it stands from now on. @returns {number} the tail */
  record(id, record) {
    return this.#commit(id, [{ signal: record }]);
  }

  #commit(id, given) {
    const session = this.sessions.get(id);
    const events = given.map((event, index) => ({ serial: session.log.length + index + 1, ...event }));
    session.commits.push(session.log.push(...events));
    const cursor = `${session.epoch}-${session.log.length}`;
    for (const client of this.#clients) this.#deliver(client, { type: "events", session: id, cursor, events });
    return session.log.length;
  }

  /** The session's messages, folded from its log. @param {number} [upto] a serial */
  messages(id, upto = Infinity, withReplaced = false) {
    const { log, trimmed } = this.sessions.get(id);
    const messages = new Map();
    const events = log.filter(({ serial, signal }) => serial <= upto && !signal);
    for (const event of events) fold(messages, structuredClone(event), withReplaced);
    return [...messages.values()].filter((message) => message.last_serial > trimmed);
  }

  /** The signals that have changed after a serial; without one all that are open, and the newest others. */
  signals(id, after = null) {
    const changes = this.sessions.get(id).log.filter(({ serial, signal }) => signal && serial > (after ?? 0));
    const records = [...new Map(changes.map(({ signal }) => [signal.id, signal])).values()];
    const recent = records.filter(({ status }) => !isOpen(status)).slice(-RECENT);
    return after === null ? records.filter((record) => isOpen(record.status) || recent.includes(record)) : records;
  }

  /** Give the session another incarnation. */
  changeEpoch(id) {
    const session = this.sessions.get(id);
    session.epoch = `e${Number(session.epoch.slice(1)) + 1}`;
  }

  /** Go back to an earlier copy of the database, which knows nothing of what came after it. @param {number} back commits */
  restore(id, back) {
    const { log, commits, signals } = this.sessions.get(id);
    commits.length = Math.max(1, commits.length - back);
    log.length = commits.at(-1);
    for (const [signal, serial] of signals) if (serial > log.length) signals.delete(signal);
  }

  heartbeat() {
    for (const client of this.#clients) this.#beat(client);
  }

  sendAll(frame) {
    for (const client of this.#clients) client.send(frame);
  }

  #accept(wire) {
    const client = { attachments: new Map(), send: (frame) => wire.send(JSON.stringify(frame)), wire };
    this.#clients.add(client);
    wire.onclose = () => this.#clients.delete(client);
    wire.onframe = (text) => this.#receive(client, JSON.parse(text));
    const [heartbeat_ms, recovery_window_ms] = [HEARTBEAT_MS, this.recoveryWindowMs];
    client.send({ type: "connected", connection: "c", actor: ACTOR, heartbeat_ms, recovery_window_ms, limits: LIMITS });
  }

  #receive(client, frame) {
    this.received.push(frame);
    const { session, id } = frame;
    if (session && !this.sessions.has(session)) client.send({ type: "error", session, id, ...NOT_FOUND });
    else if (frame.type === "attach") this.#attach(client, frame);
    else if (frame.type === "detach") client.attachments.delete(frame.session);
    else if (frame.type === "ack") this.#acknowledge(client, frame);
    else if (frame.type === "signal") this.#signal(client, frame);
    else this.#beat(client);
  }

  #beat({ attachments, send }) {
    const tail = (id) => `${this.sessions.get(id).epoch}-${this.sessions.get(id).log.length}`;
    send({ type: "heartbeat", tails: Object.fromEntries([...attachments.keys()].map((id) => [id, tail(id)])) });
  }

  // --- Attach ---

  #attach(client, { session: id, cursor, held = {}, replaced: withReplaced = false }) {
    client.attachments.set(id, { inFlight: [], behind: false, withReplaced });
    this.#sendState(client, id, cursor, held);
  }

  #sendState(client, id, cursor, held) {
    const { epoch, log, title } = this.sessions.get(id);
    const reason = this.#resetReason(id, cursor);
    const resumed = cursor !== undefined && reason === null;
    const { withReplaced } = client.attachments.get(id);
    const all = this.messages(id, Infinity, withReplaced);
    const messages = resumed ? this.#changes(id, cut(cursor)[1], held, withReplaced) : all.slice(-REWIND).map(whole);
    const older = all.length > REWIND;
    const replaced = resumed && !withReplaced ? this.#replaced(id, cut(cursor)[1]) : [];
    const signals = this.signals(id, resumed ? cut(cursor)[1] : null);
    const place = { session: id, cursor: `${epoch}-${log.length}`, resumed, reason };
    const frame = { type: "attached", ...place, older, title, messages, replaced, signals };
    client.attachments.get(id).inFlight.push([log.length, JSON.stringify(frame).length]);
    client.send(frame);
  }

  #resetReason(id, cursor) {
    if (cursor === undefined) return null;
    const { epoch, log, trimmed } = this.sessions.get(id);
    const [theirs, serial] = cut(cursor);
    if (theirs !== epoch) return "epoch-changed";
    if (serial > log.length) return "ahead";
    if (serial < trimmed) return "trimmed";
    return log.length - serial > TOO_FAR ? "too-far" : null;
  }

  #replaced(id, after) {
    return this.sessions.get(id).log.flatMap(({ serial, replaces = [] }) => (serial > after ? replaces : []));
  }

  #changes(id, serial, held, withReplaced) {
    const before = new Map(this.messages(id, serial, withReplaced).map((message) => [message.id, message]));
    const changed = this.messages(id, Infinity, withReplaced).filter((message) => message.last_serial > serial);
    return changed.map((message) => suffix(message, before.get(message.id), held[message.id]));
  }

  // --- Delivery ---

  #deliver(client, frame) {
    const attachment = client.attachments.get(frame.session);
    if (!attachment || attachment.behind) return;
    const size = JSON.stringify(frame).length;
    const used = attachment.inFlight.reduce((sum, [, bytes]) => sum + bytes, 0);
    attachment.behind = client.wire.acknowledges && used > 0 && used + size > LIMITS.window_bytes;
    if (attachment.behind || this.loses()) return;
    attachment.inFlight.push([cut(frame.cursor)[1], size]);
    client.send(frame);
  }

  #acknowledge(client, { session: id, cursor, held }) {
    const attachment = client.attachments.get(id);
    if (!attachment) return;
    const [, acknowledged] = cut(cursor);
    attachment.inFlight = attachment.inFlight.filter(([serial]) => serial > acknowledged);
    if (!attachment.behind || attachment.inFlight.length) return;
    attachment.behind = false;
    this.#sendState(client, id, cursor, held ?? {});
  }

  // --- Signals ---

  #signal(client, { session, id, kind, payload }) {
    const { signals } = this.sessions.get(session);
    const error = signals.has(id) ? null : this.judge(id, payload, kind);
    if (error) return client.send({ type: "receipt", session, id, status: "rejected", error });
    if (!signals.has(id)) {
      signals.set(id, this.sessions.get(session).log.length + 1);
      if (kind === "message") this.publish(session, id, { type: "message", role: "user", parts: payload.parts });
      else this.record(session, recordOf({ id, kind, at: this.clock.now(), ...stored(kind, payload) }));
    }
    client.send({ type: "receipt", session, id, status: "accepted", serial: signals.get(id) });
  }
}

/** What the record of a signal has of its payload: of a result, the call alone. */
function stored(kind, payload) {
  return kind === "tool-result" ? { message: payload.message, payload: { call: payload.call } } : { payload };
}

/** A signal that has just been accepted, unless `fields` say otherwise. */
export function recordOf(fields) {
  const told = { status: "accepted", code: null, reason: null, actor: ACTOR, at: 0, message: null, payload: {} };
  return { ...told, ...fields };
}

function isOpen(status) {
  return status === "accepted" || status === "delivered";
}

function whole(message) {
  const { revision, ...fields } = message;
  return { ...fields, from: 0, at: 0 };
}

function suffix(message, before, held) {
  const patch = whole(message);
  if (!before || !held) return patch;
  const limit = Math.min(before.parts.length, held.length);
  let from = 0;
  while (from < limit && same(before.parts[from], message.parts[from])) from += 1;
  const [old, now] = [before.parts[from]?.text, message.parts[from]?.text];
  const grown = from < limit && typeof old === "string" && now?.startsWith(old);
  const at = grown ? Math.min(held[from], old.length) : 0;
  const parts = message.parts.slice(from);
  if (at > 0) parts[0] = { ...parts[0], text: now.slice(at) };
  return { ...patch, parts, from, at };
}
