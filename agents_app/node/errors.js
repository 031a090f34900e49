/** A site's refusal, or a fault of what an agent writes. `code` is one of PROTOCOL.md's. */
export class HoldfastError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "HoldfastError";
    this.code = code;
  }
}

/** An agent's error, in words for people: the answer ends with them. */
export class AgentFailed extends Error {
  name = "AgentFailed";
}

/** A tool's error, in words for the model and for people. */
export class ToolFailed extends Error {
  name = "ToolFailed";
}

/** The reason of a turn's signal: a person, the site or the end of the worker has stopped the agent. */
export class Stopped extends Error {
  name = "AbortError";
}
