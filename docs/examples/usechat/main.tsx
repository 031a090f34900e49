// The AI SDK's useChat with its own DefaultChatTransport, over a Holdfast server.

import { type UseChatHelpers, useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { StrictMode, useEffect, useEffectEvent, useRef, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Composer } from "../shared/Composer";
import { type Shown, Message, hasEnded } from "../shared/Message";
import { idInAddress, keepInAddress, site, token } from "../shared/holdfast";

// An id of our own: the first message creates the session.
const chatId = idInAddress("chat") ?? keepInAddress("chat", crypto.randomUUID());
const headers = async () => ({ Authorization: `Bearer ${await token()}` });
const transport = new DefaultChatTransport<Shown>({ api: `${site}/api/chat`, headers });
const RETRY_MS = 2000;
const TIMEOUT_MS = 10_000;

async function request(path: string, options: RequestInit = {}) {
  const given = { ...options.headers, ...(await headers()) };
  const answer = await fetch(site + path, { ...options, headers: given, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

/** The chat as it is stored. */
async function stored(): Promise<Shown[]> {
  const sessions = await (await request(`/api/sessions/?external_id=${chatId}`)).json();
  if (sessions.results.length === 0) return [];
  const page = await (await request(`/api/sessions/${sessions.results[0].id}/messages/?limit=200`)).json();
  return page.results.reverse(); // the newest comes first
}

function Chat() {
  const chat = useChat<Shown>({
    id: chatId,
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const { messages, status, addToolApprovalResponse } = chat;
  const { problem, attempt } = useCatchUp(chat);
  const last = messages.at(-1);
  const waits = last && !hasEnded(last) && last.parts.some((part) => "toolCallId" in part && part.state === "approval-requested");
  const reads = status === "submitted" || status === "streaming";
  const stop = async () => {
    const headers = { "Content-Type": "application/json" };
    await request(`/api/chat/${chatId}/stop`, { method: "POST", headers, body: "{}" });
    if (reads) return; // the stream tells the rest
    await chat.resumeStream();
    chat.setMessages(await stored());
  };
  return (
    <main>
      <header>
        <h1>useChat</h1>
        <span role="status">{problem ? wordsOf(problem) : waits ? "Waiting for you" : reads ? "Answering …" : "Ready"}</span>
      </header>
      <section className="follows">
        <div>
          {messages.map((message) => (
            <Message
              key={message.id}
              message={message}
              onDecide={(id, approved) => addToolApprovalResponse({ id, approved })}
            />
          ))}
        </div>
      </section>
      <nav>
        {(reads || waits) && <button onClick={() => attempt(stop)}>Stop</button>}
        {!reads && !waits && last?.role === "assistant" && <button onClick={() => chat.regenerate()}>Ask again</button>}
      </nav>
      <Composer busy={reads} onSend={(text) => chat.sendMessage({ text })} />
    </main>
  );
}

/**
 * Load what is stored, and go on with an answer that is under way: when the page opens, when it is looked at again, and
 * after a lost connection, from which useChat doesn't return by itself. `problem`: why the chat may not be up to date.
 */
function useCatchUp({ status, error, setMessages, regenerate, resumeStream, stop }: UseChatHelpers<Shown>) {
  const [problem, setProblem] = useState<Error>();
  const isOnline = useSyncExternalStore(onNetwork, () => navigator.onLine);
  const loads = useRef(false);
  const catchUp = useEffectEvent(async () => {
    if (loads.current || document.visibilityState === "hidden") return;
    loads.current = true;
    try {
      const known = await stored();
      let unsent: Shown[] = []; // a message that was lost on its way: its id makes sending it again harmless
      setMessages((held) => {
        unsent = held.slice(-1).filter(({ id, role }) => role === "user" && !known.some((message) => message.id === id));
        return [...known, ...unsent];
      });
      setProblem(undefined);
      void (unsent.length > 0 ? regenerate() : resumeStream());
    } catch (reason) {
      setProblem(reason as Error);
    } finally {
      loads.current = false;
    }
  });
  const stopReading = useEffectEvent(stop);
  useEffect(() => {
    // The network came, at first or again: what is being read may hang on a connection of the old one.
    if (isOnline) void stopReading().then(catchUp);
  }, [isOnline]);
  const reads = status === "submitted" || status === "streaming";
  const isLost = problem !== undefined || isOffline(error);
  useEffect(() => {
    if (reads || !isOnline) return;
    const look = () => void catchUp();
    const timer = isLost ? setInterval(look, RETRY_MS) : undefined;
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [reads, isOnline, isLost]);
  const attempt = (work: () => Promise<unknown>) => void work().catch(setProblem);
  return { problem: isOnline ? (problem ?? error) : new TypeError("offline"), attempt };
}

function onNetwork(notify: () => void) {
  const types = ["online", "offline"];
  for (const type of types) window.addEventListener(type, notify);
  return () => types.forEach((type) => window.removeEventListener(type, notify));
}

/** Whether the network failed, as far as fetch can tell. */
const isOffline = (error?: Error) => error instanceof TypeError || error?.name === "TimeoutError";

/** A problem in words. Holdfast's refusals are JSON: code and message. */
function wordsOf(problem: Error): string {
  if (isOffline(problem)) return "Offline: trying again …";
  try {
    return JSON.parse(problem.message).message;
  } catch {
    return problem.message;
  }
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
