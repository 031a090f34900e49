"""The agent of a session's simulation: its run, and the calls that people have to approve."""

from sessions_app import models
from sessions_app.runs import inbox


class Call:
    """A call that people have to approve, as the agent knows it."""

    def __init__(self, id: str, approval: str) -> None:
        self.id, self.approval = id, approval
        self.state = "asked"  # then decided, and begun when it runs


class Agent:
    """An agent at work on a run."""

    def __init__(self, run: models.Run) -> None:
        self.run = run
        self.inbox = inbox.RunInbox(run)
        self.words = 0
        self.calls: list[Call] = []
        self.begun = False

    def call(self, state: str) -> Call | None:
        return next((call for call in self.calls if call.state == state), None)
