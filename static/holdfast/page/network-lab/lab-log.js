// Log entries of the network lab: changes of the connection in words. Pure: connections in, entries out.
import { explainTransport, stateName, transportName } from "../../connection-words.js";

/**
 * @typedef {object} Entry
 * @property {string} kind  a connection state, or "fault" or "caught-up"
 * @property {string} title
 * @property {string} detail  may be empty
 */

/**
 * @param {object|null} before the previous connection; null at the start
 * @param {object} connection value of `holdfast.connection`
 * @param {number} now ms
 * @returns {Entry|null} null for changes that are not shown
 */
export function noteConnection(before, connection, now) {
  const { state, transport, transportReason, reason, retryAt } = connection;
  if (state === "connected") {
    if (before?.state === "connected" && before.transport === transport) return null;
    const why = transportReason ? explainTransport(transportReason) : "";
    return { kind: state, title: `Connected over ${transportName(transport)}`, detail: joined(took(before, now), why) };
  }
  if (before?.state === state && before.retryAt === retryAt && before.since === connection.since) return null;
  const next = retryAt === null ? "" : `Next retry in ${seconds(retryAt - now)}.`;
  return { kind: state, title: stateName(state), detail: joined(reason?.message ?? "", next) };
}

/** @param {{events: number, ms: number}} caughtUp @returns {Entry} */
export function noteCaughtUp({ events, ms }) {
  const missed = `${events.toLocaleString("en")} ${events === 1 ? "event" : "events"} missed.`;
  const detail = events === 0 ? "Nothing missed." : missed;
  return { kind: "caught-up", title: `Caught up in ${Math.max(1, Math.round(ms))} ms`, detail };
}

/** @param {string} title @param {string} [detail] @returns {Entry} action of the user */
export function noteFault(title, detail = "") {
  return { kind: "fault", title, detail };
}

function took(before, now) {
  if (!before || before.lostAt === null || before.state === "connected") return "";
  return `After ${seconds(now - before.lostAt)}.`;
}

function seconds(ms) {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function joined(...texts) {
  return texts.filter(Boolean).join(" ");
}
