// A message of either page: AI SDK's UIMessage, which is what Holdfast stores.

import type { UIMessage } from "ai";

export type Shown = UIMessage & { status?: string; reason?: string | null };
type Part = UIMessage["parts"][number];
type Call = Extract<Part, { toolCallId: string }>;
export type Decide = (approval: string, approved: boolean) => unknown;

// Statuses that a reader should know of. `waiting` and `sending` are of holdfast-client's messages that aren't stored yet.
const NOTES: Record<string, string> = {
  waiting: "Not sent yet: it will be when there is a connection",
  sending: "Sending …",
  failed: "Failed",
  cancelled: "Stopped",
  interrupted: "Interrupted: the agent is gone",
};

/** Whether a message has ended, as far as its status says: one that useChat is reading has none. */
export const hasEnded = ({ status }: Shown) => status !== undefined && status !== "streaming";

export function Message({ message, onDecide }: { message: Shown; onDecide: Decide }) {
  const { id, role, parts, status = "", reason } = message;
  return (
    <article data-id={id} data-role={role} data-status={status}>
      {parts.map((part, index) => (
        <PartView key={index} part={part} onDecide={hasEnded(message) ? null : onDecide} />
      ))}
      {status in NOTES && (
        <small>
          {NOTES[status]}
          {reason && `: ${reason}`}
        </small>
      )}
    </article>
  );
}

function PartView({ part, onDecide }: { part: Part; onDecide: Decide | null }) {
  if (part.type === "text") return <p data-part="text">{part.text}</p>; // Markdown: put your renderer here
  if (part.type === "reasoning") {
    return (
      <details open={part.state === "streaming"}>
        <summary>Reasoning</summary>
        <p data-part="reasoning">{part.text}</p>
      </details>
    );
  }
  return "toolCallId" in part ? <CallView call={part} onDecide={onDecide} /> : null;
}

function CallView({ call, onDecide }: { call: Call; onDecide: Decide | null }) {
  const { approval } = call;
  const name = call.type === "dynamic-tool" ? call.toolName : call.type.slice("tool-".length);
  return (
    <div className="call" data-state={call.state}>
      <b>{call.title ?? name}</b>
      <pre>{argumentsOf(call)}</pre>
      {call.state === "approval-requested" && onDecide && (
        <p>
          <button onClick={() => onDecide(call.approval.id, true)}>Approve</button>
          <button onClick={() => onDecide(call.approval.id, false)}>Deny</button>
        </p>
      )}
      {call.state === "output-available" && <pre>{JSON.stringify(call.output, null, 1)}</pre>}
      {call.state === "output-error" && <small>{call.errorText}</small>}
      {approval && "approved" in approval && <small>{approval.approved ? "Approved" : "Denied"}</small>}
    </div>
  );
}

/** The arguments' own text, which is what a decision is about: numbers in `input` may be rounded by JSON.parse. */
function argumentsOf({ approval, input }: Call): string {
  const descriptor = (approval as { descriptor?: { input_text?: string } } | undefined)?.descriptor;
  return descriptor?.input_text ?? JSON.stringify(input, null, 1) ?? "…";
}
