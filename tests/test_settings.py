"""The site refuses to start half-configured, and keeps its development key to itself."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_origin

import pytest

from project.settings import BASE_DIR, development_key
from sessions_app import conf

SITE = {"HOLDFAST_SECRET_KEY": "k" * 60, "HOLDFAST_HOSTS": "chat.example"}


def start(**variables: str) -> "subprocess.CompletedProcess[str]":
    """Loads the settings in a process of their own, with these HOLDFAST_ variables alone."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        [sys.executable, "-c", "import project.settings"],
        env=others | variables, cwd=BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip


def test_it_starts_with_a_key_and_hosts() -> None:
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
def test_it_refuses_to_start(change: dict[str, str], hint: str) -> None:
    outcome = start(**SITE | change)
    assert outcome.returncode != 0
    assert outcome.stderr.splitlines()[-1].startswith("django.core.exceptions.ImproperlyConfigured: " + hint)


def test_it_makes_a_development_key_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = development_key(tmp_path / "key")
    assert len(key) >= 50
    assert development_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_every_number_of_the_settings_is_declared_with_its_type(settings: object) -> None:
    declared = conf.__annotations__
    assert declared.keys() == settings.HOLDFAST.keys()  # type: ignore[attr-defined]
    for name, kind in declared.items():
        assert isinstance(getattr(conf, name), get_origin(kind) or kind)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="settings.HOLDFAST has no NOTHING"):
        conf.NOTHING  # noqa: B018
