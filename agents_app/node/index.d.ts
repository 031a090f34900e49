/** One chunk of the AI SDK's UI message stream. */
export type Chunk = Record<string, any> & { type: string };

export interface Message {
  id: string;
  role: "user" | "assistant" | "system";
  parts: (Record<string, any> & { type: string })[];
  [name: string]: any;
}

/** Who decided what about a tool call. `actor` is null if the time ran out. */
export interface Decision {
  approved: boolean;
  /** The arguments to call it with, which the approver may have edited. */
  input: Record<string, any>;
  inputText: string;
  reason: string;
  actor: string | null;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly input: Record<string, any>;
  output(output: unknown): Promise<void>;
  error(message: string): Promise<void>;
  /** Ask people about exactly this call. `expiresMs`: null for as long as the session lives. */
  approval(options?: { reason?: string; expiresMs?: number | null; editable?: boolean }): Promise<Decision>;
  /** Call a function with the approved arguments, at most once whatever dies. Rejects with ToolFailed. */
  execute<T>(tool: (input: Record<string, any>, signal: AbortSignal) => T | Promise<T>): Promise<T>;
  /** Wait for the result of a tool that runs at the client. Rejects with ToolFailed. */
  result(options?: { timeoutMs?: number | null }): Promise<any>;
}

/** One turn of an agent. Everything written is published at once; writes wait while too much is unstored. */
export interface Turn {
  readonly session: string;
  readonly mode: "answer" | "continue" | "regenerate";
  readonly prompt: string;
  readonly history: Message[];
  /** Aborted when a person stops the answer, or the site or the worker ends it. */
  readonly signal: AbortSignal;
  /** The AI SDK's; "stop" by default. */
  finishReason: string;
  text(delta: string): Promise<void>;
  reasoning(delta: string): Promise<void>;
  write(chunk: Chunk): Promise<void>;
  metadata(values: Record<string, unknown>): Promise<void>;
  usage(counts: { inputTokens?: number; outputTokens?: number }): void;
  flush(): Promise<void>;
  /** Begin the next step; return what people have said meanwhile. */
  step(): Promise<string[]>;
  tool(name: string, args: Record<string, unknown> | string): Promise<ToolCall>;
  /** Write a UI message stream, such as `streamText(…).toUIMessageStream()`. */
  stream(chunks: AsyncIterable<any> | ReadableStream<any>): Promise<void>;
}

export class Worker {
  constructor(options: {
    url: string;
    /** One with the scope `work`, or a function that returns a fresh one. */
    token: string | (() => string | Promise<string>);
    /** This process's: 8 to 64 of A-Z a-z 0-9 _ -. */
    name: string;
    most?: number;
    drainMs?: number;
  });
  agent(name: string, agent: (turn: Turn) => unknown): this;
  /** Answer until `stop`, SIGTERM or SIGINT. Rejects with HoldfastError if the site refuses this worker. */
  run(): Promise<void>;
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
