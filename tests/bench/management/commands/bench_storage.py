"""Fill the database in bulk, or print its size: `messages N`, `tokens ANSWERS TOKENS`, `bytes`."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, models
from django.utils import timezone

from sessions_app.models import Message, RetentionPolicy, Session
from sessions_app.retention import journal

PER_SESSION = 20  # messages
BATCH = 50_000  # rows in one transaction: a server that runs meanwhile has to write too
PARTS = '[{"type":"text","text":"' + "a word or two " * 15 + '","state":"done"}]'
EVENT = (
    '{"serial":1234,"message":"m_1234567890123456789012","chunk":{"type":"text-delta","id":"text_1","delta":" 12345"}}'
)
# Both databases know it; so does nothing else that makes rows of numbers.
NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)"


class Command(BaseCommand):
    help = "Fill the database, or say what it takes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("messages", "tokens", "bytes"))
        parser.add_argument("numbers", type=int, nargs="*")

    def handle(self, *args: Any, what: str, numbers: list[int], **options: Any) -> None:
        do: dict[str, Callable[..., None]] = {"messages": self._messages, "tokens": self._tokens, "bytes": self._bytes}
        do[what](*numbers)

    def _messages(self, count: int) -> None:
        """Fill the database up to a number of messages, twenty a session."""
        first = Message.objects.filter(uid__startswith="m_bench").count()
        policy = RetentionPolicy.objects.default().pk
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        for start in range(first, count, BATCH):
            end = min(start + BATCH, count)
            sessions = [start // PER_SESSION, end // PER_SESSION]
            _insert(Session, sessions, {
                "id": "'bench' || n", "owner": "'ext:bench'", "title": "''", "agent": "''", "policy_id": str(policy),
                "held": "false", "epoch": "'0123456789ab'", "tail": str(PER_SESSION), "trimmed": "0",
                "created_at": f"'{now}'", "active_at": f"'{now}'",
            })  # fmt: skip
            _insert(Message, [start, end], {
                "session_id": f"'bench' || (n / {PER_SESSION})", "uid": "'m_bench' || n", "role": "'assistant'",
                "status": "'complete'", "parts": f"'{PARTS}'", "open": "'{}'", "marks": "'[[1,1]]'",
                "first_serial": f"n %% {PER_SESSION} + 1", "last_serial": f"n %% {PER_SESSION} + 1",
                "created_at": f"'{now}'", "updated_at": f"'{now}'",
            })  # fmt: skip
        with connection.cursor() as cursor:
            # What the database would do some time, while it is measured.
            cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")

    def _tokens(self, answers: int, tokens: int) -> None:
        """A log that keeps each token as the row that it would have in the journal."""
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bench_token (id bigint PRIMARY KEY, session_id varchar(22), serial bigint,"
                " uid varchar(64), event text, UNIQUE (session_id, serial))"
            )
            cursor.execute(
                f"{NUMBERS} INSERT INTO bench_token SELECT n, '12345678901234567890' || (n / {tokens}), n %% {tokens},"
                f" 'm_1234567890123456789012', '{EVENT}' FROM numbers",
                [0, answers * tokens],
            )

    def _bytes(self) -> None:
        """Return the database's size at rest: without the journal's last minute and space that is free for reuse."""
        journal.trim(journal.newest())
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("VACUUM FULL")
                cursor.execute("SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables")
            else:
                cursor.execute(
                    "SELECT (page_count - freelist_count) * page_size"
                    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
                )
            self.stdout.write(str(int(cursor.fetchone()[0])))


def _insert(model: type[models.Model], numbers: list[int], columns: dict[str, str]) -> None:
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    table = model._meta.db_table
    with connection.cursor() as cursor:
        # PostgreSQL has WITH before INSERT, SQLite too.
        cursor.execute(f"{NUMBERS} INSERT INTO {table} ({names}) SELECT {values} FROM numbers", numbers)
