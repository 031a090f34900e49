import { type KeyboardEvent, useState } from "react";

/** The field to write in. A text that can't be sent comes back, with the reason. `busy`: nothing can be sent now. */
export function Composer({ onSend, busy = false }: { onSend: (text: string) => Promise<unknown>; busy?: boolean }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const canSend = !busy && text.trim() !== "";
  const send = async () => {
    setText("");
    setProblem("");
    try {
      await onSend(text);
    } catch (error) {
      setText((newer) => newer || text);
      setProblem((error as Error).message);
    }
  };
  const sendByEnter = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    if (canSend) void send();
  };
  return (
    <form action={send}>
      {problem && <small role="alert">{problem}</small>}
      <textarea
        aria-label="Message"
        placeholder="Ask something, or for a report"
        rows={1}
        value={text}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={sendByEnter}
      />
      <button disabled={!canSend}>Send</button>
    </form>
  );
}
