# The site's own.

INSTALLED_APPS += ["people"]
AUTH_USER_MODEL = "people.Person"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"

# Holdfast, as docs/install.md has it.

INSTALLED_APPS = [
    "sessions_app",
    "agents_app",
    *INSTALLED_APPS,
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE += ["sessions_app.auth.middleware.identity_middleware"]
ASGI_APPLICATION = "mysite.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DATABASES["default"]["OPTIONS"] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
HOLDFAST = {"AGENTS": ["parrot"], "DEFAULT_AGENT": "parrot"}

# The tests'.

import json
import os

STATIC_ROOT = os.environ.get("TEST_STATIC_ROOT")
HOLDFAST["TOKEN_KEYS"] = json.loads(os.environ.get("TEST_TOKEN_KEYS", "{}"))
