"""An agent for tests whose prompt is a script; see `agent`. SETTINGS in its environment give it to a server."""

from pathlib import Path

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.support.scripted.settings",
    "HOLDFAST_AGENTS": "scripted",
    "HOLDFAST_DEFAULT_AGENT": "scripted",
}
EFFECTS = "SCRIPTED_EFFECTS"  # the environment's name of the file in which an approved call leaves its trace


def effects_in(file: Path) -> dict[str, list[str]]:
    """Return the processes, such as `python-123`, in which each approved call ran."""
    ran: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        effect, process = line.split()
        ran.setdefault(effect, []).append(process)
    return ran
