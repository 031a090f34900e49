"""The runs' agent as a Django application."""

from django.apps import AppConfig


class CompatConfig(AppConfig):
    name = "tests.compat"
    label = "compat"

    def ready(self) -> None:
        from tests.compat import agent  # noqa: F401  (registers the agent)
