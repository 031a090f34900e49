"""Django application configuration of the session layer."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Holdfast"
    default_auto_field = "django.db.models.BigAutoField"  # as in the migrations, whatever the project's is

    def ready(self) -> None:
        # Imported to register the checks and signal receivers.
        from sessions_app.auth import middleware  # noqa: F401
        from sessions_app.checks import installation, services, settings, workers  # noqa: F401
        from sessions_app.database import sqlite_file  # noqa: F401
