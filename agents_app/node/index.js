// Agents in Node: a worker of a Holdfast site (PROTOCOL.md §16), over HTTP, without dependencies.

export { HoldfastError } from "./errors.js";
export { AgentFailed, ToolFailed } from "./errors.js";
export { Worker } from "./worker.js";
