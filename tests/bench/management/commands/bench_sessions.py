"""Create sessions of the benchmark's agent, each of another guest; print each one's id and its guest's cookie."""

import json
import uuid
from argparse import ArgumentParser
from typing import Any

from django.core import signing
from django.core.management.base import BaseCommand

from sessions_app.auth.identity import GUEST_COOKIE
from sessions_app.models import RetentionPolicy, Session


class Command(BaseCommand):
    help = "Create sessions to measure with."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("count", type=int)

    def handle(self, *args: Any, count: int, **options: Any) -> None:
        policy = RetentionPolicy.objects.default()
        guests = [uuid.uuid4().hex for _ in range(count)]
        sessions = [Session(owner=f"guest:{guest}", agent="bench", policy=policy) for guest in guests]
        Session.objects.bulk_create(sessions)
        signer = signing.TimestampSigner(salt="holdfast.guest")
        cookies = [f"{GUEST_COOKIE}={signer.sign(guest)}" for guest in guests]
        self.stdout.write(json.dumps([[session.id, cookie] for session, cookie in zip(sessions, cookies, strict=True)]))
