"""The retention commands, as an operator types them."""

import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sessions_app.models import Session
from tests.support.harness import DEADLINE_S, environment_of, migrated, own_database
from tests.support.stored import a_message, a_session, a_signal, an_ended_run, hours_ago

__all__ = ["migrated"]  # a fixture

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.django_db


def run(*arguments: str, tty: bool = False) -> str:
    out = StringIO()
    out.isatty = lambda: tty  # type: ignore[method-assign]
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_command_removes_rows_and_reports_how_many() -> None:
    a_message(a_session("guest:1", hours=100), hours=100)
    assert run("enforce_retention") == "Removed 1 session, 1 message.\n"
    assert not Session.objects.exists()


def test_the_command_reports_signals_and_runs_if_any() -> None:
    session = a_session("guest:1", created_at=hours_ago(200))
    for hours in (100, 90, 1):
        an_ended_run(session, a_signal(session, hours=hours), hours=hours, approvals=1)
    told = "0 sessions, 0 messages, 2 signals, 2 runs"
    assert run("enforce_retention", "--dry-run") == f"Would remove {told}.\n"
    assert run("enforce_retention") == f"Removed {told}.\n"


def test_the_command_shows_its_progress_on_a_terminal() -> None:
    a_message(a_session("guest:1", hours=100), hours=100)
    shown = run("enforce_retention", tty=True)
    assert "\rRemoved 1 session, 1 message …" in shown
    assert shown.endswith("\r\x1b[KRemoved 1 session, 1 message.\n")


def test_a_dry_run_removes_nothing() -> None:
    a_message(a_session("guest:1", hours=100), hours=100)
    assert run("enforce_retention", "--dry-run") == "Would remove 1 session, 1 message.\n"
    assert Session.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--batch", "0"], "--batch 0: use 1 to 200."),
        (["--batch", "201"], "--batch 201: use 1 to 200."),
        (["--loop", "0"], "--loop 0: use 1 second or more."),
        (["--loop", "5", "--dry-run"], "--loop and --dry-run can.t be combined"),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        run("enforce_retention", *arguments)


def test_a_stopped_loop_exits_cleanly(tmp_path: Path, migrated: Path) -> None:
    environment = environment_of(own_database(tmp_path, migrated), {})
    loop = subprocess.Popen(
        [sys.executable, "manage.py", "enforce_retention", "--loop", "3600"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert loop.stdout and loop.stdout.readline() == "Removed 0 sessions, 0 messages.\n"
    loop.send_signal(signal.SIGTERM)
    assert loop.communicate(timeout=DEADLINE_S)[1] == ""
    assert loop.returncode == 0


def test_the_named_sessions_get_a_new_epoch() -> None:
    named, other = a_session("guest:1"), a_session("guest:1")
    said = run("new_epoch", named.pk, "--no-input")
    assert "all servers and\nworkers stopped" in said and said.endswith("1 session: new epoch.\n")
    epochs = dict(Session.objects.values_list("pk", "epoch"))
    assert epochs[named.pk] != named.epoch and epochs[other.pk] == other.epoch


def test_each_of_all_sessions_gets_a_different_new_epoch() -> None:
    before = {a_session("guest:1").epoch for _ in range(3)}
    run("new_epoch", "--all", "--no-input")
    after = set(Session.objects.values_list("epoch", flat=True))
    assert len(after) == 3 and not after & before


@pytest.mark.parametrize(("answer", "changed"), [("y", True), ("", False), ("n", False)])
def test_the_command_asks_for_confirmation(monkeypatch: pytest.MonkeyPatch, answer: str, changed: bool) -> None:
    session = a_session("guest:1")
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    if changed:
        run("new_epoch", session.pk)
    else:
        with pytest.raises(CommandError, match="Nothing was changed"):
            run("new_epoch", session.pk)
    assert (Session.objects.get().epoch != session.epoch) is changed


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["nothing", "--all"]])
def test_the_command_requires_sessions_or_all(arguments: list[Any]) -> None:
    session = a_session("guest:1")
    with pytest.raises(CommandError):
        run("new_epoch", *arguments, "--no-input")
    assert Session.objects.get().epoch == session.epoch
