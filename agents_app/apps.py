"""The agents as a Django application."""

from django.apps import AppConfig
from django.core.checks import register


class AgentsAppConfig(AppConfig):
    name = "agents_app"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents_app import registry
        from agents_app.builtin import demo, model_agent
        from agents_app.checks import check_model, check_places
        from agents_app.local.runner import Runner
        from sessions_app import conf, process

        register(check_model, "holdfast")
        register(check_places, "holdfast")
        if conf.settings.demo_agent:
            registry.agent("demo")(demo.demo)
        if conf.settings.agent_model:
            registry.agent("model")(model_agent.model)
        if conf.settings.run_agents:
            process.add_part(lambda here: Runner(here).run)
