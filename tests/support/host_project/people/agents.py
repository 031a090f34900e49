"""The site's agent."""

from agents_app.registry import agent
from agents_app.turn import Turn


@agent("parrot")
async def parrot(turn: Turn) -> None:
    for word in turn.prompt.split():
        await turn.text(f"{word} ")
