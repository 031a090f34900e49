"""Settings that were broken after `manage.py serve` had read them: its processes can't start."""

import sys

from django.core.exceptions import ImproperlyConfigured

from project.settings import *  # noqa: F403

if "--child" in sys.argv:
    raise ImproperlyConfigured("these settings are broken")
