"""The scripted agent as a Django application."""

from django.apps import AppConfig


class ScriptedConfig(AppConfig):
    name = "tests.browser.scripted"

    def ready(self) -> None:
        from tests.browser.scripted import agent  # noqa: F401  (registers it)
