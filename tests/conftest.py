"""Fixtures for every test: databases in their own place, PostgreSQL and Redis servers, the database mark."""

import gc
import os
import signal
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management.commands import flush
from django.db import connections
from hypothesis import HealthCheck, settings

from sessions_app.database import threads
from sessions_app.fairness import rates
from sessions_app.models import RetentionPolicy
from tests import services
from tests.support.left_process import end_left_process

# Tables that every test finds as the migrations filled them, and leaves so.
KEPT_TABLES = {"django_content_type", "auth_permission"}
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "django_db_serialized_rollback"}

# Property tests: the same few examples in every run, or with HYPOTHESIS_PROFILE=long many, different in every run.
# On a busy machine making an example may take long, which is not the test's fault.
BASE = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", BASE, max_examples=10, derandomize=True)
settings.register_profile("long", BASE, max_examples=200, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The files with the longest tests first, so that no process is left alone with one at the end.
    items.sort(key=lambda item: item.path.parent.name not in ("scenarios", "browser"))
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES:
            item.add_marker("database")


def pytest_collection_finish() -> None:
    gc.freeze()  # all that was imported stays: to look through it again and again takes a tenth of tests/core's time


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    # A file, not memory: the log is written in a thread of its own, over its own connection.
    place: Path = tmp_path_factory.mktemp("database")
    database = connections["default"]
    if database.vendor == "sqlite":
        database.settings_dict["TEST"]["NAME"] = str(place / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The test database. PostgreSQL drops it once it has no other connection, and waits 5 s before it refuses."""
    yield
    together = threading.Barrier(threads.THREADS)
    for closed in [threads._threads.submit(close_connection, together) for _ in range(threads.THREADS)]:
        closed.result()


def close_connection(together: threading.Barrier) -> None:
    connections.close_all()
    together.wait()  # so that each thread takes one of these jobs


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """After a test that commits, deletes rows alone.

    Django truncates every table, then makes its content types and permissions anew: longer than most tests.
    """

    def delete_rows(style: Any, connection: Any, **options: Any) -> list[str]:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        return [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables if table not in KEPT_TABLES]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", delete_rows)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *arguments: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> None:
    """End the process that an earlier file's tests have left: in these tests it would be one more worker."""
    end_left_process()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as address:
        yield address


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with services.redis() as address:
        yield address


@pytest.fixture
def redis() -> Iterator[services.Redis]:
    """A Redis server that only this test has, to be stopped and started."""
    server = services.Redis()
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Limits of a process that has just started; tests share theirs, and their people."""
    rates.limiter.cache_clear()


@pytest.fixture(autouse=True)
def policies_of_a_new_site(request: pytest.FixtureRequest) -> None:
    """The policies stored by the migrations, which a test that commits removes with everything else."""
    if request.node.get_closest_marker("database"):
        request.getfixturevalue("db")
        stored = import_module("sessions_app.migrations.0002_default_policies").POLICIES
        policies = (RetentionPolicy(name=name, hours=hours, is_default=default) for name, hours, default in stored)
        RetentionPolicy.objects.bulk_create(policies, ignore_conflicts=True)
