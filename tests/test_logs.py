"""The log's two formats: every line has its context, and none contains user content."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from project.logs import JsonFormatter, LineFormatter, is_worth_a_line, logging_config
from sessions_app.management.commands import runserver
from sessions_app.telemetry import client_errors, log_context
from sessions_app.telemetry.client_errors import ClientErrorFilter


def record(message: str, *args: Any, error: Exception | None = None, **extra: str) -> logging.LogRecord:
    raised: Any = None
    if error:
        try:
            raise error
        except Exception:
            raised = sys.exc_info()
    made = logging.LogRecord("sessions_app.delivery.feeds", logging.ERROR, __file__, 1, message, args, raised)
    made.__dict__ |= extra
    return made


async def test_a_line_contains_its_tasks_context_and_its_own_fields() -> None:
    async def work() -> str:
        log_context.work_on(run="r1", session="s1")
        return await asyncio.create_task(logged())

    async def logged() -> str:
        return LineFormatter().format(record("it %s", "failed", session="s2"))

    assert (await asyncio.create_task(work())).endswith(
        "ERROR   sessions_app.delivery.feeds: it failed run=r1 session=s2"
    )
    assert (await logged()).endswith("it failed session=s2")  # the task that made it is about nothing


def test_an_exception_is_one_line_of_json() -> None:
    text = JsonFormatter().format(record("two\nlines", error=ValueError('"quoted"\nand \ud800 broken')))
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "two\nlines" and line["level"] == "ERROR"
    assert line["exception"].startswith("Traceback") and '"quoted"\nand' in line["exception"]


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_row_values_in_database_errors_are_left_out(formatter: logging.Formatter) -> None:
    quoting = 'null value in column "x"\nDETAIL:  Failing row contains (1, my\nsecret, 2).'
    for made in (record("not stored: %s", quoting), record("failed", error=ValueError(quoting))):
        text = formatter.format(made)
        assert "null value in column" in text and "secret" not in text and "DETAIL" not in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/static/x.js", "/api/sessions/x/poll/"])
def test_uninformative_requests_are_not_logged_under_any_server(path: str) -> None:
    daphnes = logging.LogRecord("a", logging.INFO, "", 1, "%(path)s", ({"path": path},), None)
    uvicorns = logging.LogRecord("a", logging.INFO, "", 1, "%s %s %s", ("127.0.0.1:1", "GET", path), None)
    assert not is_worth_a_line(daphnes) and not is_worth_a_line(uvicorns)
    uvicorns.args = ("127.0.0.1:1", "GET", "/healthz-not")
    assert is_worth_a_line(uvicorns)


@pytest.fixture
def uvicorns_loggers() -> Iterator[None]:
    """Leave uvicorn's and this process's loggers as they were."""
    names = ["uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi"]
    before = {name: (log.propagate, log.handlers, log.level) for name in names if (log := logging.getLogger(name))}
    yield
    for name, (propagate, handlers, level) in before.items():
        log = logging.getLogger(name)
        log.propagate, log.handlers = propagate, handlers
        log.setLevel(level)


@pytest.mark.parametrize("is_on", [True, False])
def test_uvicorns_option_for_the_access_log_holds(uvicorns_loggers: None, is_on: bool) -> None:
    uvicorn.Config("project.asgi:application", access_log=is_on)  # reads the command line before the settings are read
    configured: Any = logging_config("INFO", "LINE")
    access = configured["loggers"]["uvicorn.access"]
    assert (access["propagate"], access["handlers"]) == (is_on, [])


def test_without_uvicorn_its_logger_is_on() -> None:
    configured: Any = logging_config("INFO", "LINE")
    assert configured["loggers"]["uvicorn.access"]["propagate"]


@pytest.mark.parametrize(("arguments", "is_on"), [([], True), (["--no-access-log"], False)])
def test_runservers_option_for_the_access_log_holds(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], is_on: bool
) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(runserver, "SessionServer", lambda **options: made.update(options))
    monkeypatch.setattr(runserver.lifecycle, "has_hooks", lambda: True)
    command = runserver.Command()
    options = vars(command.create_parser("manage.py", "runserver").parse_args(arguments))
    monkeypatch.setattr(command, "get_application", lambda options: None)
    command.addr, command.port, command.http_timeout, command.websocket_handshake_timeout = "127.0.0.1", "0", None, 5
    command.make_server(options)
    assert (made["action_logger"] is not None) == is_on


def clients_error(name: str = "django.security.DisallowedHost", message: str = "bad", status: int = 400) -> Any:
    made = record(message, error=ValueError("because"))
    made.name, made.status_code = name, status
    return made


@pytest.mark.parametrize("name", ["django.security.DisallowedHost", "django.request"])
def test_a_clients_error_is_one_short_warning(name: str) -> None:
    made = clients_error(name, "Invalid host: " + "x" * 5000 + "\nforged line")
    assert ClientErrorFilter().filter(made)
    text = LineFormatter().format(made)
    assert text.count("\n") == 0 and len(text) < 500 and "WARNING" in text and "Traceback" not in text


def test_a_clients_errors_beyond_the_limit_are_counted_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(client_errors.time, "monotonic", lambda: now)
    clients = ClientErrorFilter()
    assert [clients.filter(clients_error(message=f"host {n}")) for n in range(30)].count(True) == client_errors.LINES
    assert clients.filter(clients_error("django.request"))  # another kind
    now += client_errors.WINDOW_S
    later = clients_error()
    assert clients.filter(later) and later.getMessage().endswith("(10 more like it were not logged)")


def test_a_bug_keeps_its_traceback() -> None:
    for made in (clients_error("django.request", status=500), clients_error("sessions_app.process")):
        assert ClientErrorFilter().filter(made)
        assert made.exc_info and made.levelno == logging.ERROR
