"""The AI SDK's HTTP transport: unmodified `useChat` clients as readers and senders of a session (PROTOCOL.md §15)."""
