"""The agents as a Django application."""

from django.apps import AppConfig


class AgentsAppConfig(AppConfig):
    name = "agents_app"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents_app import demo  # noqa: F401  (registers the demo agent)
        from agents_app.runner import Runner
        from sessions_app import conf, process

        if conf.RUN_AGENTS:
            process.add_part(lambda here: Runner(here).run)
