// assistant-ui, unstyled primitives, over holdfast-client's external store.

import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  type ToolCallMessagePartProps,
  useExternalStoreRuntime,
} from "@assistant-ui/react";
import { Holdfast } from "holdfast-client";
import { useHoldfastThread } from "holdfast-client/assistant-ui";
import { HoldfastProvider } from "holdfast-client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Connection } from "../shared/Connection";
import { idInAddress, keepInAddress, site, token } from "../shared/holdfast";

const holdfast = new Holdfast({ url: `${site.replace("http", "ws")}/ws/`, api: `${site}/api/`, token });

async function sessionId(): Promise<string> {
  return idInAddress("session") ?? keepInAddress("session", (await holdfast.createSession()).id);
}

function Chat({ id }: { id: string }) {
  const runtime = useExternalStoreRuntime(useHoldfastThread(id));
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root asChild>
        <main>
          <header>
            <h1>assistant-ui</h1>
            <Connection />
          </header>
          <ThreadPrimitive.Viewport asChild>
            <section>
              <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage }} />
            </section>
          </ThreadPrimitive.Viewport>
          <ComposerPrimitive.Root>
            <ComposerPrimitive.Input aria-label="Message" placeholder="Ask something" rows={1} />
            <ThreadPrimitive.If running={false}>
              <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
            </ThreadPrimitive.If>
            <ThreadPrimitive.If running>
              <ComposerPrimitive.Cancel>Stop</ComposerPrimitive.Cancel>
            </ThreadPrimitive.If>
          </ComposerPrimitive.Root>
        </main>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

const UserMessage = () => (
  <MessagePrimitive.Root asChild>
    <article data-role="user">
      <MessagePrimitive.Parts components={{ Text }} />
    </article>
  </MessagePrimitive.Root>
);

const AssistantMessage = () => (
  <MessagePrimitive.Root asChild>
    <article data-role="assistant">
      <MessagePrimitive.Parts components={{ Text, Reasoning, tools: { Fallback: Call } }} />
      <ActionBarPrimitive.Root hideWhenRunning>
        <ActionBarPrimitive.Reload>Ask again</ActionBarPrimitive.Reload>
      </ActionBarPrimitive.Root>
    </article>
  </MessagePrimitive.Root>
);

const Text = ({ text }: { text: string }) => <p data-part="text">{text}</p>; // Markdown: @assistant-ui/react-markdown

const Reasoning = ({ text }: { text: string }) => (
  <details>
    <summary>Reasoning</summary>
    <p data-part="reasoning">{text}</p>
  </details>
);

function Call({ toolName, args, result, approval, respondToApproval }: ToolCallMessagePartProps) {
  const asks = approval && approval.approved === undefined && !approval.resolution;
  return (
    <div className="call">
      <b>{toolName}</b>
      <pre>{JSON.stringify(args, null, 1)}</pre>
      {asks && (
        <p>
          <button onClick={() => respondToApproval({ approved: true })}>Approve</button>
          <button onClick={() => respondToApproval({ approved: false })}>Deny</button>
        </p>
      )}
      {result !== undefined && <pre>{JSON.stringify(result, null, 1)}</pre>}
    </div>
  );
}

const root = createRoot(document.getElementById("root") as HTMLElement);
const show = (id: string) =>
  root.render(
    <StrictMode>
      <HoldfastProvider holdfast={holdfast}>
        <Chat id={id} />
      </HoldfastProvider>
    </StrictMode>,
  );
sessionId().then(show, (error: Error) => root.render(<p role="alert">{error.message}. Reload the page.</p>));
