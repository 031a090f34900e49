"""The session layer as a Django application."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from sessions_app import checks, identity  # noqa: F401  (they register checks and a signal's receiver)
