"""An agent that does what its prompt says, as a Django application: `SERVER = scripted.ENVIRONMENT`."""

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.browser.scripted.settings",
    "HOLDFAST_AGENTS": "demo,scripted",
    "HOLDFAST_INBOX_POLL_MS": "100",
}
