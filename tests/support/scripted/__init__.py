"""An agent for tests whose prompt is a script; see `agent`. SETTINGS in its environment give it to a server."""

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.support.scripted.settings",
    "HOLDFAST_AGENTS": "scripted",
    "HOLDFAST_DEFAULT_AGENT": "scripted",
}
EFFECTS = "SCRIPTED_EFFECTS"  # the environment's name of the file in which an approved call leaves its trace
