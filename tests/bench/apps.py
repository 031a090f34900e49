"""The benchmark as a Django application: it adds an agent, and nothing to what is measured."""

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "tests.bench"
    label = "bench"

    def ready(self) -> None:
        from tests.bench import agent  # noqa: F401  (registers the agent)
