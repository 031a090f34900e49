"""The session layer as a Django application."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Sessions"
    default_auto_field = "django.db.models.BigAutoField"  # as in the migrations, whatever the project's is

    def ready(self) -> None:
        # They register checks and a signal's receiver.
        from sessions_app.auth import middleware  # noqa: F401
        from sessions_app.checks import installation, services, settings  # noqa: F401
