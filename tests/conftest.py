"""What every test may use: databases in their own place, servers of PostgreSQL and Redis, the database mark."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from hypothesis import HealthCheck, settings

from tests import services
from tests.support.redis_server import Redis

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "django_db_serialized_rollback"}

# What every property test starts from. On a busy machine making an example may take long, which is nobody's fault.
settings.register_profile(
    "holdfast", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("holdfast")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES:
            item.add_marker("database")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    # A file, not memory: the log is written in a thread of its own, over its own connection.
    place: Path = tmp_path_factory.mktemp("database")
    database = connections["default"]
    if database.vendor == "sqlite":
        database.settings_dict["TEST"]["NAME"] = str(place / "test.sqlite3")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as address:
        yield address


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with services.redis() as address:
        yield address


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis server that only this test has, to be stopped and started."""
    server = Redis()
    server.start()
    yield server
    server.stop()
