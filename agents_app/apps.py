"""The agents as a Django application."""

from django.apps import AppConfig


class AgentsAppConfig(AppConfig):
    name = "agents_app"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents_app import checks, registry  # noqa: F401  (registers checks)
        from agents_app.builtin import demo, model_agent  # noqa: F401  (registers the demo agent)
        from agents_app.local.runner import Runner
        from sessions_app import conf, process

        if conf.settings.agent_model:
            registry.agent("model")(model_agent.model)
        if conf.settings.run_agents:
            process.add_part(lambda here: Runner(here).run)
