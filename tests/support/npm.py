"""The npm package `holdfast-agent` as it is published, for programs that import it by its name."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests import services
from tests.support.harness import ROOT

PACKAGE = ROOT / "agents_app" / "node"
PROGRAMS = ROOT / "tests" / "support" / "node"


def install(place: Path, program: str) -> Path:
    """Copy a program of tests/support/node/ to a folder that has the packed package installed; return its path."""
    modules = place / "node_modules"
    modules.mkdir(parents=True, exist_ok=True)
    npm = Path(services.require("node")).with_name("npm")
    packed = subprocess.run(
        [npm, "pack", "--json", "--silent", "--pack-destination", place], cwd=PACKAGE, capture_output=True, check=True
    )
    with tarfile.open(place / json.loads(packed.stdout)[0]["filename"]) as archive:
        archive.extractall(place, filter="data")
    (place / "package").rename(modules / "holdfast-agent")
    return Path(shutil.copy(PROGRAMS / program, place))
