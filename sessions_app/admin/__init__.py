"""Django admin for operators. Tables owned by the log writer are read-only."""

from sessions_app.admin import approvals, connections, messages, policies, runs, sessions, signals, tokens, workers

__all__ = ["approvals", "connections", "messages", "policies", "runs", "sessions", "signals", "tokens", "workers"]
