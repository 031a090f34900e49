"""A client for agents in other processes, on any machine. Needs no Django. A `Worker` is asked, a `Publisher` speaks:

Worker("https://chat.example", token=TOKEN, name="billing-1").serve()

async with Publisher("https://chat.example", token=TOKEN, producer="billing-agent") as publisher:
    async with publisher.answer(session) as answer:
        await answer.text("Hello")

`SyncPublisher` is the publisher of code without asyncio.
"""

from agents_app.remote.answer import RemoteAnswer
from agents_app.remote.log_filter import RunFilter
from agents_app.remote.publisher import Fenced, Publisher
from agents_app.remote.sync_publisher import PublisherClosed, SyncPublisher
from agents_app.remote.worker import Worker

__all__ = ["Fenced", "Publisher", "PublisherClosed", "RemoteAnswer", "RunFilter", "SyncPublisher", "Worker"]
