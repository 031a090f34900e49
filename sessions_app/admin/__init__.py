"""Site administration. What the log writer owns is read-only."""

from sessions_app.admin import approvals, connections, messages, policies, runs, sessions, signals, tokens, workers

__all__ = ["approvals", "connections", "messages", "policies", "runs", "sessions", "signals", "tokens", "workers"]
