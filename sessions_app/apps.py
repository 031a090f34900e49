"""The session layer as a Django application."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Sessions"

    def ready(self) -> None:
        # They register checks and a signal's receiver.
        from sessions_app.auth import middleware  # noqa: F401
        from sessions_app.checks import services, settings  # noqa: F401
