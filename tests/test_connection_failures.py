"""Errors of PostgreSQL's pool, with the server's own reason in the log."""

import psycopg
import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout

from sessions_app.database import connection_failures
from sessions_app.database.connection_failures import describe
from sessions_app.database.postgres_connection import PooledConnection
from tests.services import free_port


@pytest.fixture(autouse=True)
def no_reason_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_failures, "_refusal", "")


def error_of(cause: Exception) -> OperationalError:
    error = OperationalError("couldn't get a connection")
    error.__cause__ = cause
    return error


def test_the_reason_follows_the_error_of_the_pool_alone() -> None:
    with pytest.raises(psycopg.OperationalError):
        PooledConnection.connect(f"host=127.0.0.1 port={free_port()} dbname=none")
    assert "Connection refused" in describe(error_of(PoolTimeout("10 s")))
    assert "\n" not in describe(error_of(PoolTimeout("10 s")))
    assert describe(error_of(psycopg.OperationalError("the server closed it"))) == "couldn't get a connection"


def test_without_a_refusal_the_error_stays_as_it_is() -> None:
    assert describe(error_of(PoolTimeout("10 s"))) == "couldn't get a connection"
