"""The distribution as others have it: a wheel, fresh environments that it is installed in, and a site around it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.harness import ROOT, Server
from tests.support.tokens import KEYS

OVERLAY = Path(__file__).parent / "host_project"
# What a startproject has of Holdfast when somebody has installed it and read no further.
NAMES_ALONE = 'INSTALLED_APPS = ["sessions_app", "agents_app", *INSTALLED_APPS]\n'


def build_wheel(place: Path) -> Path:
    """Build the wheel from this repository, without a network."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    run(command, cwd=place)
    [wheel] = place.glob("*.whl")
    return wheel


def documented_settings() -> str:
    """Return what docs/install.md puts at the end of a project's settings."""
    found = re.search(r"## Settings\n.*?```python\n(.*?)```", (ROOT / "docs/install.md").read_text(), re.DOTALL)
    assert found, "docs/install.md has no settings"
    return found[1]


def run(command: Iterable[str | Path], *, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a program; return what it printed. A failure is an error with that."""
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Environment:
    """A fresh virtual environment with one requirement installed, which sees nothing of this repository."""

    def __init__(self, place: Path, requirement: str) -> None:
        self.python = place / "bin" / "python"
        # This interpreter's pip installs into it: pip itself takes longer to install than most packages.
        run([sys.executable, "-m", "venv", "--without-pip", place], cwd=ROOT)
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        run([*pip, requirement], cwd=place)

    def run(self, *arguments: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
        """Run Python with these arguments; return what it printed."""
        return run([self.python, *arguments], cwd=cwd, environment=clean(environment or {}))

    def has(self, package: str, *, cwd: Path) -> bool:
        """Return whether a package can be imported."""
        return subprocess.run([self.python, "-c", f"import {package}"], cwd=cwd, capture_output=True).returncode == 0


def clean(more: dict[str, str]) -> dict[str, str]:
    """Return this environment without what would lead back to the repository or its settings; `more` wins."""
    ours = ("HOLDFAST_", "DJANGO_", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


class HostSite:
    """A `startproject` in an environment. `with_names_alone()` before `install()`: what a beginner has."""

    def __init__(self, place: Path, environment: Environment) -> None:
        self.place = place
        self.environment = environment
        self.variables = clean({"TEST_TOKEN_KEYS": json.dumps(KEYS), "PYTHONUNBUFFERED": "1"})
        place.mkdir()
        environment.run("-m", "django", "startproject", "mysite", place, cwd=place)
        self._settings = place / "mysite" / "settings.py"
        self._as_made = self._settings.read_text()

    def with_names_alone(self) -> None:
        self._settings.write_text(self._as_made + NAMES_ALONE)

    def install(self) -> None:
        """Lay the site's own files and its set-up of Holdfast over it, and migrate."""
        shutil.copytree(OVERLAY, self.place, dirs_exist_ok=True)
        own, ours = ((OVERLAY / f"settings_{name}.py").read_text() for name in ("own", "tests"))
        self._settings.write_text("\n".join((self._as_made, own, documented_settings(), ours)))
        self.manage("makemigrations", "people")
        self.manage("migrate")

    def manage(self, *arguments: str) -> str:
        return run([self.environment.python, "manage.py", *arguments], cwd=self.place, environment=self.variables)


class HostServer(Server):
    """A server of a host site."""

    def __init__(self, site: HostSite, command: str) -> None:
        super().__init__(site.place, database="", command=command, application="mysite.asgi:application")
        self.kind = command
        self.command[0] = str(site.environment.python)
        self.environment = site.variables
        self.cwd = site.place
        self.health = "/chat/healthz"
        self.chat = f"{self.url}/chat"
