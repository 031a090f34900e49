"""`backup` and `restore` of an SQLite database, as an operator types them."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.support.harness import environment_of, manage, migrated, own_database

__all__ = ["migrated"]  # a fixture

INSERT = (
    "INSERT INTO sessions_app_session (id, owner, title, agent, policy_id, held, epoch, tail, trimmed, created_at,"
    " active_at) SELECT ?, 'guest:1', '', '', id, 0, ?, 0, 0, '2030-01-01', '2030-01-01' FROM"
    " sessions_app_retentionpolicy WHERE is_default"
)


class Site:
    """A site's database and its commands: `call` and `refused` in this process, `manage` in one of their own."""

    def __init__(self, place: Path, migrated: Path) -> None:
        self.place = place
        self.environment = environment_of(own_database(place, migrated), {})
        self.file = place / "holdfast.sqlite3"
        self.backup = place / "backup.sqlite3"

    def manage(self, *arguments: str) -> str:
        return manage(*arguments, environment=self.environment)

    def call(self, *arguments: str) -> str:
        """Return what a command says."""
        said = StringIO()
        call_command(*arguments, stdout=said)
        return said.getvalue()

    def refused(self, *arguments: str) -> str:
        """Return what a command says that changes nothing."""
        with pytest.raises(CommandError) as refused:
            self.call(*arguments)
        return str(refused.value)

    def add_session(self, pk: str) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(INSERT, [pk, f"epoch-{pk}"])

    def sessions(self, file: Path | None = None) -> dict[str, str]:
        """Return the epochs of the sessions by their ids."""
        with closing(sqlite3.connect(file or self.file)) as database:
            return dict(database.execute("SELECT id, epoch FROM sessions_app_session").fetchall())


@pytest.fixture
def site(tmp_path: Path, migrated: Path) -> Iterator[Site]:
    if connection.vendor != "sqlite":
        pytest.skip("is about SQLite's file")
    site = Site(tmp_path, migrated)
    site.add_session("kept")
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", str(site.file))
        yield site
        connection.close()


def test_a_backup_holds_what_is_in_the_write_ahead_log_and_is_one_private_file(site: Site) -> None:
    with closing(sqlite3.connect(site.file)) as server:  # keeps the log
        server.execute("SELECT count(*) FROM sessions_app_session")
        site.add_session("in the log")
        assert Path(f"{site.file}-wal").stat().st_size
        assert "and verified it" in site.manage("backup", str(site.backup))
    assert site.sessions(site.backup) == {"kept": "epoch-kept", "in the log": "epoch-in the log"}
    assert stat.S_IMODE(site.backup.stat().st_mode) == 0o600
    assert sorted(path.name for path in site.place.iterdir() if "backup" in path.name) == ["backup.sqlite3"]


def test_a_restore_gives_every_session_a_new_epoch_and_keeps_the_files_mode(site: Site) -> None:
    site.call("backup", str(site.backup))
    site.add_session("later")
    site.file.chmod(0o640)
    assert "Restored 1 session" in site.call("restore", str(site.backup), "--force")
    restored = site.sessions()
    assert list(restored) == ["kept"] and restored["kept"] != "epoch-kept"
    assert stat.S_IMODE(site.file.stat().st_mode) == 0o640
    assert site.sessions(site.backup) == {"kept": "epoch-kept"}


def test_a_log_left_by_another_database_is_not_replayed_into_the_restored_one(site: Site) -> None:
    site.call("backup", str(site.backup))
    with closing(sqlite3.connect(site.file)) as server:
        server.execute("SELECT count(*) FROM sessions_app_session")
        site.add_session("in the log")
        log = Path(f"{site.file}-wal").read_bytes()
    Path(f"{site.file}-wal").write_bytes(log)
    site.file.unlink()
    site.call("restore", str(site.backup))
    assert list(site.sessions()) == ["kept"]


def test_a_damaged_database_can_be_replaced(site: Site) -> None:
    site.call("backup", str(site.backup))
    site.file.write_bytes(b"not a database" * 1000)
    assert "exists" in site.refused("restore", str(site.backup))
    site.manage("restore", str(site.backup), "--force")
    assert list(site.sessions()) == ["kept"]


def test_nothing_is_overwritten_without_force(site: Site) -> None:
    site.backup.write_text("precious")
    assert site.refused("backup", str(site.backup)) == (
        f"{site.backup} exists. Nothing was changed; --force replaces it."
    )
    assert site.backup.read_text() == "precious"
    site.call("backup", str(site.backup), "--force")
    assert "--force replaces it" in site.refused("restore", str(site.backup))
    assert site.sessions() == {"kept": "epoch-kept"}


def test_a_database_in_use_is_not_replaced(site: Site) -> None:
    site.call("backup", str(site.backup))
    with closing(sqlite3.connect(site.file)) as server:
        server.execute("SELECT count(*) FROM sessions_app_session").fetchone()
        said = site.refused("restore", str(site.backup), "--force")
        assert said == f"{site.file} is in use: stop all servers and workers first."
        site.add_session("later")
    assert set(site.sessions()) == {"kept", "later"}


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (id)")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_a_newer_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('sessions_app', '9999_new', 0)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_text("a text"), "is not an SQLite database"),
        (lambda path: path.write_bytes(b""), "is not an SQLite database"),
        (lambda path: path.unlink(), "is not a file"),
        (lambda path: (path.unlink(), other_database(path)), "is not a Holdfast database"),
        (cut, "is damaged|could not be copied"),
        (of_a_newer_version, "is of a newer version of Holdfast: it has 9999_new"),
    ],
    ids=["text", "empty", "missing", "other", "cut", "newer"],
)
def test_a_file_that_is_no_sound_backup_is_refused(site: Site, change: object, said: str) -> None:
    site.call("backup", str(site.backup))
    change(site.backup)  # type: ignore[operator]
    refused = site.refused("restore", str(site.backup), "--force")
    assert any(each in refused for each in said.split("|")), refused
    assert site.sessions() == {"kept": "epoch-kept"}
    assert not [path for path in site.place.iterdir() if path.name.endswith(".new")]


def test_a_backup_of_an_older_version_is_restored_with_a_word_about_migrate(site: Site) -> None:
    site.call("backup", str(site.backup))
    with closing(sqlite3.connect(site.backup)) as database, database:
        database.execute("DELETE FROM django_migrations WHERE app = 'sessions_app' AND name LIKE '0012%'")
    assert "run `manage.py migrate` (0012_" in site.call("restore", str(site.backup), "--force")


def test_the_sites_own_file_is_no_backup(site: Site) -> None:
    os.link(site.file, site.backup)
    assert "is the site's own database" in site.refused("restore", str(site.backup), "--force")
