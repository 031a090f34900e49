"""The old name of `agents_app.tool_call`, kept for one release."""

from agents_app.tool_call import Decision, ToolCall, ToolFailed

__all__ = ["Decision", "ToolCall", "ToolFailed"]
