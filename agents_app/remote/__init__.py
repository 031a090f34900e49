"""A client for agents in other processes, on any machine: publishes to a site's sessions. Needs no Django.

async with Publisher("https://chat.example", token=TOKEN, producer="billing-agent") as publisher:
    async with publisher.answer(session) as answer:
        await answer.text("Hello")
"""

from agents_app.remote.answer import RemoteAnswer
from agents_app.remote.publisher import Fenced, Publisher

__all__ = ["Fenced", "Publisher", "RemoteAnswer"]
