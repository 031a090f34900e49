"""The scripted agent as a Django application."""

from django.apps import AppConfig


class ScriptedConfig(AppConfig):
    name = "tests.support.scripted"
    label = "scripted"

    def ready(self) -> None:
        from tests.support.scripted import agent  # noqa: F401  (registers the agent)
