/** One chunk of the AI SDK's UI message stream. */
export type Chunk = Record<string, any> & { type: string };

export interface Message {
  id: string;
  role: "user" | "assistant" | "system";
  parts: (Record<string, any> & { type: string })[];
  [name: string]: any;
}

/** The AI SDK's reasons for the end of an answer. */
export type FinishReason = "stop" | "length" | "content-filter" | "tool-calls" | "error" | "other";

/** Who decided what about a tool call. `actor` is null if the time ran out. */
export interface Decision {
  approved: boolean;
  /** The arguments to call it with, which the approver may have edited. */
  input: Record<string, any>;
  inputText: string;
  reason: string;
  actor: string | null;
  /** The issuer of the token that it was sent with; empty if there was none. */
  issuedBy: string;
}

export interface ApprovalOptions {
  reason?: string;
  /** For how long people may decide: 5 minutes by default, null for as long as the session lives. */
  expiresMs?: number | null;
  /** The approver may change the arguments. */
  editable?: boolean;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly input: Record<string, any>;
  /** The JSON text of the arguments, which people decide about. */
  readonly inputText: string;
  /** End the call with its output: any JSON value. */
  output(output: unknown): Promise<void>;
  /** End the call with its error. */
  error(message: string): Promise<void>;
  /** Ask people about exactly this call, and wait for the first decision. One that is denied ends the call. */
  approval(options?: ApprovalOptions): Promise<Decision>;
  /** Call a function with the approved arguments, at most once whatever dies. Rejects with ToolFailed. */
  execute<T>(tool: (input: Record<string, any>, signal: AbortSignal) => T | Promise<T>): Promise<T>;
  /** Wait for the result of a tool that runs at the client: 5 minutes by default. Rejects with ToolFailed. */
  result(options?: { timeoutMs?: number | null }): Promise<any>;
}

/**
 * One turn of an agent. Everything written is published at once; writes wait while too much is unstored. What can't be
 * stored rejects with HoldfastError.
 */
export interface Turn {
  readonly session: string;
  /** To answer, to continue the last message of `history`, or to answer once more. */
  readonly mode: "answer" | "continue" | "regenerate";
  /** The text to answer. */
  readonly prompt: string;
  /** The newest messages, at most 50, oldest first. */
  readonly history: Message[];
  /** Aborted when a person stops the answer, or the site or the worker ends it. */
  readonly signal: AbortSignal;
  /** The site's span of the run, as W3C Trace Context has it, if the site traces: for `propagation.extract`. */
  readonly traceparent: string;
  /** The largest chunk that `write` takes, in bytes of its JSON. */
  readonly chunkBytes: number;
  /** Why the answer ends, if it ends well: "stop" by default. */
  finishReason: FinishReason;
  /** Append to the answer. */
  text(delta: string): Promise<void>;
  /** Append to the reasoning, which people may look at. */
  reasoning(delta: string): Promise<void>;
  /** Write any other chunk of the AI SDK's, such as a `source-url`. */
  write(chunk: Chunk): Promise<void>;
  /** Add a part `data-<name>`. With an id, replace that part. */
  data(name: string, value: unknown, options?: { id?: string; transient?: boolean }): Promise<void>;
  /** Merge values into the message's metadata. */
  metadata(values: Record<string, unknown>): Promise<void>;
  /** Count what a model has read and written; such as streamText's `totalUsage`. */
  usage(counts: { inputTokens?: number | undefined; outputTokens?: number | undefined }): void;
  /** Wait until everything written is stored. */
  flush(): Promise<void>;
  /** Begin the next step; return what people have said meanwhile. */
  step(): Promise<string[]>;
  /** Write a tool call. `args`: an object, or the JSON text that a model wrote, which people approve byte for byte. */
  tool(name: string, args: Record<string, unknown> | string, options?: { title?: string }): Promise<ToolCall>;
  /** Return a call that was written by `write` or `stream`: to ask people about it, or for its result. */
  call(id: string, name: string, args: Record<string, unknown> | string): ToolCall;
  /**
   * Return the AI SDK's tools for a stream that `stream` writes: those with `needsApproval`, and those that `approvals`
   * names, ask people, and then run at most once with what was approved.
   */
  tools<T extends Record<string, any>>(tools: T, approvals?: { [name in keyof T]?: ApprovalOptions }): T;
  /** Write a UI message stream, such as `streamText(…).toUIMessageStream()`, up to its end. */
  stream(chunks: AsyncIterable<any> | ReadableStream<any>): Promise<void>;
}

/** What becomes of a message that arrives while the agent is at work in its session. */
export type WhileBusy = "queue" | "steer" | "interrupt" | "reject";

export interface WorkerOptions {
  /** The site's. */
  url: string;
  /** One with the scope `work` that names the agents, or a function that returns a fresh one. */
  token: string | (() => string | Promise<string>);
  /** This process's: 8 to 64 of A-Z a-z 0-9 _ -. The next process with it fences this one. */
  name: string;
  /** How many runs at once: 100 by default. */
  most?: number;
  /** How long agents may go on once the worker is told to stop: 30 s by default. */
  drainMs?: number;
  /** Higher in the next process with the name; the current time by default. */
  epoch?: number;
}

export class Worker {
  constructor(options: WorkerOptions);
  /** Register an agent. `whileBusy`: "queue" by default. */
  agent(name: string, agent: (turn: Turn) => unknown, options?: { whileBusy?: WhileBusy }): this;
  /** Answer until `stop`, SIGTERM or SIGINT. Rejects with HoldfastError if the site refuses this worker. */
  run(): Promise<void>;
  /** Claim no more, let the agents at work finish within `drainMs`, and end `run`. */
  stop(): void;
}

/** A site's refusal, or a fault of what an agent writes. */
export class HoldfastError extends Error {
  readonly code: string;
}

/** An agent's error, in words for people: the answer ends with them. */
export class AgentFailed extends Error {}

/** A tool's error, in words for the model and for people. */
export class ToolFailed extends Error {}
