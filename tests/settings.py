"""The project's settings for tests, independent of the shell's environment."""

import os

os.environ["HOLDFAST_DEBUG"] = "true"

from project.settings import *  # noqa: E402, F403

# Logging in is not what the tests measure.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# No test asks its own process for a static file, and each client would look for all of them first: 0.1 s.
SERVESTATIC_USE_FINDERS = SERVESTATIC_USE_STATIC_ROOT = SERVESTATIC_AUTOREFRESH = False
