// The same chat with Holdfast's own client and its React hooks.

import { Holdfast } from "holdfast-client";
import { HoldfastProvider, useSession } from "holdfast-client/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Composer } from "../shared/Composer";
import { Connection } from "../shared/Connection";
import { Message } from "../shared/Message";
import { idInAddress, keepInAddress, site, token } from "../shared/holdfast";

const holdfast = new Holdfast({ url: `${site.replace("http", "ws")}/ws/`, api: `${site}/api/`, token });

function Chat() {
  const [id, setId] = useState(() => idInAddress("session"));
  const session = useSession(id);
  const { messages, working, stopping, older, gone } = session;
  const last = messages.at(-1);
  const begin = async (text: string) => {
    const created = await holdfast.createSession();
    setId(keepInAddress("session", created.id));
    await holdfast.session(created.id).send(text);
  };
  return (
    <main>
      <header>
        <h1>holdfast-client</h1>
        <Connection />
      </header>
      <section className="follows">
        <div>
          {gone && <small role="alert">{gone.message}</small>}
          {older && <button onClick={() => session.loadOlder()}>Earlier messages</button>}
          {messages.map((message) => (
            <Message
              key={message.id}
              message={message}
              onDecide={(approval, approved) => (approved ? session.approve(approval) : session.deny(approval))}
            />
          ))}
        </div>
      </section>
      <nav>
        {working && (
          <button disabled={stopping} onClick={() => session.cancel()}>
            {stopping ? "Stopping …" : "Stop"}
          </button>
        )}
        {!working && last?.role === "assistant" && (
          <button onClick={() => session.retry(last.id, "regenerate")}>Ask again</button>
        )}
      </nav>
      <Composer onSend={id ? session.send : begin} />
    </main>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <HoldfastProvider holdfast={holdfast}>
      <Chat />
    </HoldfastProvider>
  </StrictMode>,
);
