"""The settings of browser tests, with the scripted agent."""

from tests.browser.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.browser.scripted"]  # noqa: F405
