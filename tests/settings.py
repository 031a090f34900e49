"""The project's settings as the tests use them, whatever the shell's environment says."""

import os

os.environ["HOLDFAST_DEBUG"] = "true"

from project.settings import *  # noqa: E402, F403

# Logging in is not what the tests measure.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Straight from static/: nothing is collected.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = True
