"""`manage.py demo_answer`: publishes a demo answer from its own process, which may outlive any server."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from agents_app import registry
from agents_app.local.runner import perform
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.models import Session
from sessions_app.process import Process


class Command(BaseCommand):
    help = "Publish a demo answer to a session from this process: restart the server meanwhile, and it goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("session", help="its id, as in the page's address")

    def handle(self, *, session: str, **options: object) -> None:
        if registry.find("demo") is None:
            raise CommandError("The demo agent is off. Set HOLDFAST_DEMO_AGENT=true.")
        if not Session.objects.visible().filter(pk=session).exists():
            raise CommandError(f"No session {session} exists, or it has expired.")
        try:
            words = asyncio.run(answer(session))
        except HoldfastError as problem:
            raise CommandError(problem.message) from None
        self.stdout.write(self.style.SUCCESS(f"Published an answer of {words} words."))


async def answer(session: str) -> int:
    """Publish a demo answer; return its number of words."""
    process = Process()
    await process.start()
    try:
        response = process.writers.unprompted(session, agent="demo")
        await perform(process, response)
        message = await threads.run(queries.message, session, response.uid)
        if message is None:
            raise HoldfastError("no_such_message", "nothing of the answer was stored; see the log above")
        return sum(len(part.get("text", "").split()) for part in message.parts)
    finally:
        await process.stop()
