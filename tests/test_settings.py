"""Settings: a half-configured site refuses to start, and the development key stays private."""

import ast
import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project.settings import BASE_DIR, development_key
from sessions_app import conf
from sessions_app.core.retention import MIN_HOURS

SITE = {"HOLDFAST_SECRET_KEY": "k" * 60, "HOLDFAST_HOSTS": "chat.example"}


def start(code: str = "import project.settings", **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `code`, which loads the settings, in another process with these HOLDFAST_ variables only."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=others | variables, cwd=BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip


def test_a_site_starts_with_a_key_and_hosts() -> None:
    assert start(**SITE).returncode == 0


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"HOLDFAST_SECRET_KEY": ""}, "HOLDFAST_SECRET_KEY is not set"),
        ({"HOLDFAST_HOSTS": ""}, "HOLDFAST_HOSTS is not set"),
        ({"HOLDFAST_HOSTS": "chat.example,*"}, "HOLDFAST_HOSTS=*"),
        ({"HOLDFAST_DEBUG": "yes"}, "HOLDFAST_DEBUG=yes: use true or false"),
        ({"HOLDFAST_ROLLUP_MS": "30"}, "HOLDFAST_ROLLUP_MS=30: use one of 0, 20, 40, 100, 500"),
        ({"HOLDFAST_WINDOW_BYTES": "1"}, "HOLDFAST_WINDOW_BYTES=1: use a whole number from 1024 to 65535"),
        ({"HOLDFAST_LOG_LEVEL": "loud"}, "HOLDFAST_LOG_LEVEL=loud: use one of DEBUG, INFO, WARNING, ERROR"),
    ],
)  # fmt: skip
def test_a_half_configured_site_refuses_to_start(change: dict[str, str], hint: str) -> None:
    outcome = start(**SITE | change)
    assert outcome.returncode != 0
    assert outcome.stderr.splitlines()[-1].startswith("django.core.exceptions.ImproperlyConfigured: " + hint)


def test_a_development_key_is_created_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    key = development_key(tmp_path / "key")
    assert len(key) >= 50
    assert development_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_every_default_is_within_its_own_bounds() -> None:
    defaults = conf.HoldfastSettings()
    assert [each.name for each in dataclasses.fields(defaults)] == [setting.field for setting in conf.DECLARED.values()]
    for setting in conf.DECLARED.values():
        value = getattr(defaults, setting.field)
        assert setting.read(value) == value


def test_every_setting_is_optional(settings: Any) -> None:
    settings.HOLDFAST = {}
    assert conf.settings == conf.HoldfastSettings()
    settings.HOLDFAST = {"ROLLUP_MS": 20, "AGENTS": ["demo", "other"]}
    assert conf.settings == conf.HoldfastSettings(rollup_ms=20, agents=("demo", "other"))


def test_settings_are_frozen_and_reject_unknown_names() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        conf.settings.rollup_ms = 0  # type: ignore[misc]
    with pytest.raises(AttributeError, match="has no attribute 'rolup_ms'"):
        conf.settings.rolup_ms  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'NOTHING'"):
        conf.NOTHING  # type: ignore[attr-defined]  # noqa: B018


def test_the_settings_repr_contains_no_secret(settings: Any) -> None:
    settings.HOLDFAST = {"TOKEN_KEYS": {"a": "hunter2" * 5}, "METRICS_TOKEN": "hunter2"}
    assert conf.settings.metrics_token == "hunter2"
    assert "hunter2" not in repr(conf.settings)


def test_policies_are_bounded_by_the_shortest_term() -> None:
    assert conf.DECLARED["RETENTION_MAX_HOURS"].bounds == conf.Range(MIN_HOURS)


def test_the_environment_sets_every_type_of_setting() -> None:
    variables = {
        "ROLLUP_MS": "100", "RUN_AGENTS": "false", "AGENTS": "demo, other", "TOKEN_KEYS": "a:one,b:two",
        "METRICS_TOKEN": "word", "HISTORY_MAX": " ",
    }  # fmt: skip
    shown = "from project.settings import HOLDFAST; print(sorted(HOLDFAST.items()))"
    outcome = start(shown, **SITE, **{f"HOLDFAST_{name}": text for name, text in variables.items()})
    assert dict(ast.literal_eval(outcome.stdout)) == {
        "ROLLUP_MS": 100, "RUN_AGENTS": False, "AGENTS": ("demo", "other"), "TOKEN_KEYS": {"a": "one", "b": "two"},
        "METRICS_TOKEN": "word", "DEFAULT_AGENT": "demo", "FANOUT_LAYERS": ["default"], "LAB": False,
        "DEMO_AGENT": True,
    }  # fmt: skip
