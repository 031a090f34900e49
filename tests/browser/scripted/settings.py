"""The project's settings, with the scripted agent."""

from project.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.browser.scripted"]  # noqa: F405
