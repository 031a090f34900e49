"""Settings of a site whose server processes can't start: its ASGI application doesn't exist."""

from project.settings import *  # noqa: F403

ASGI_APPLICATION = "project.nowhere.application"
