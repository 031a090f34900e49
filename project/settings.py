"""Django settings of the site. Environment variables override many of them."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from project.env import env_bool, env_choice, env_database, env_int, env_list, env_redis, env_settings, env_str
from project.logs import logging_config
from sessions_app import conf
from sessions_app.database.sqlite_connection import SiteConnection

BASE_DIR = Path(__file__).resolve().parent.parent

# Files written by the program: the SQLite database, the development key, collected static files.
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

# Off by default: error pages of a site with DEBUG expose its internals.
DEBUG = env_bool("HOLDFAST_DEBUG", False)


# Secrets and hosts


def development_key(path: Path) -> str:
    """Return a random key, created once and kept in a file, so that a restart keeps users logged in."""
    if not path.exists():
        own = path.with_name(f"{path.name}.{os.getpid()}")
        own.touch(mode=0o600)
        own.write_text(secrets.token_urlsafe(64))
        try:
            os.link(own, path)  # unlike a rename, doesn't replace the key of a faster process
        except FileExistsError:
            pass
        own.unlink()
    return path.read_text()


SECRET_KEY = env_str("HOLDFAST_SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "HOLDFAST_SECRET_KEY is not set. A site needs its own secret key of at least 50 random characters, "
            "the same in all its processes. To try or develop Holdfast, set HOLDFAST_DEBUG=true."
        )
    SECRET_KEY = development_key(VAR_DIR / "secret_key")

# Host names of the site. A page may use its visitors' cookies if its origin is the one that its request names.
ALLOWED_HOSTS = env_list("HOLDFAST_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("HOLDFAST_HOSTS is not set. Set it to the site's host names: chat.example.com,…")
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "HOLDFAST_HOSTS=*: any name that leads here would count as the site's. List the site's host names."
    )


# Applications

INSTALLED_APPS = [
    # Before daphne, and daphne before staticfiles: the first application's `runserver` is the one that runs.
    "sessions_app",
    "agents_app",
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "servestatic",
]

# All async-capable: a sync one would move each request and stream to a thread and back.
# No GZipMiddleware: it breaks streams in browsers after the first chunk.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.content_security_policy",
    "project.middleware.refuse_malformed_forms",
    "project.middleware.StaticFilesMiddleware",
    "sessions_app.auth.middleware.old_cookie_names_middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "sessions_app.auth.middleware.sign_in_middleware",
    "sessions_app.auth.middleware.identity_middleware",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


# Database and channel layer

DATABASES = {"default": env_database("HOLDFAST_DATABASE", VAR_DIR / "holdfast.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that reads before it writes fails with "database is locked" if another process wrote in
        # between; one that takes the write lock at its start waits instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds to wait for that lock
        "cached_statements": 32,  # of Python's 128: each keeps its last parameters, such as messages that were written
        "factory": SiteConnection,  # reads on a full disk too, and never opens a file put in the place of another
        # WAL: readers don't wait for the writer. FULL: a commit survives a power cut. The cache stays at SQLite's 2 MB
        # for each of a process's threads: a larger one costs memory, and measured no faster.
        # Commits change the same pages repeatedly, so checkpoint every 32 MB of WAL instead of every 4 MB.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8000;",
    }
else:
    # A process must notice when the database stops answering, and reconnect. Options in the database URL take
    # precedence. No `options` here: pgbouncer refuses them. `database.locking` bounds how long locks are held.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,  # seconds
        "tcp_user_timeout": 10_000,  # milliseconds without an acknowledgement of sent data
        "keepalives_idle": 5,  # seconds of silence before the first probe
        "keepalives_count": 3,
        "keepalives_interval": 2,  # seconds between probes
    } | DATABASES["default"]["OPTIONS"]
    from sessions_app.database.postgres_connection import PooledConnection  # SQLite needs no psycopg

    DATABASES["default"]["OPTIONS"]["pool"] = {
        "connection_class": PooledConnection,  # keeps the server's reason for refusing one
        "min_size": 2,
        # Connections per process. Multiplied by the processes, it must stay below the server's max_connections.
        "max_size": env_int("HOLDFAST_DATABASE_POOL", 12, low=4),
        "timeout": 10,  # seconds that a request waits for a free connection
        # The pool retries a lost connection after 1, 2, 4, … s: after a minute without the database, it could wait
        # another minute once the database is back. So it gives up after this time, and the next request reconnects.
        "reconnect_timeout": 5,
    }
    # Behind pgbouncer in transaction mode, a cursor that outlives its transaction is another client's.
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True

# One layer per Redis server; sessions are distributed among them. Pub/Sub has three to five times the throughput of the
# list-based layer, and readers don't share a capacity. Lost messages are noticed by serials and read from the database.
CHANNEL_LAYERS = env_redis("HOLDFAST_REDIS") or {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


# Users

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "sessions_app.auth.backends.ThrottledBackend",
    "django.contrib.auth.backends.ModelBackend",  # for logins from before the upgrade; it is asked for no password
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"


# Security. In production everything is on; variables cover what a site may need to change.

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SAMESITE = "Lax"
if not DEBUG:  # browsers accept cookies with this prefix from this host alone, over https
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
# Further origins whose pages may use its visitors' cookies, for forms, the API and WebSockets.
CSRF_TRUSTED_ORIGINS = env_list("HOLDFAST_TRUSTED_ORIGINS", [])

SECURE_SSL_REDIRECT = env_bool("HOLDFAST_SSL_REDIRECT", not DEBUG)
SECURE_HSTS_SECONDS = 0 if DEBUG else env_int("HOLDFAST_HSTS_SECONDS", 31_536_000)
# HSTS for this host only: the subdomains may belong to other services (W005, W021).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Number of the site's own proxies in front of it. Their X-Forwarded headers are trusted. With 0 none are, since any
# client could send them.
PROXIES = env_int("HOLDFAST_PROXIES", 0, high=9)
if PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# The page loads only its own scripts, styles and images. `{images}` is the address of its static files: what agents
# write must not make a browser request other pages of the site.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src {images} data:",
        "connect-src 'self' ws: wss:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


# Static files

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_ALLOW_ALL_ORIGINS = False  # other sites' pages don't need them
STATIC_ROOT = Path(env_str("HOLDFAST_STATIC_ROOT", str(VAR_DIR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "project.static.ModuleManifestStorage"
    },
}


# Language, time, log

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = logging_config(
    env_choice("HOLDFAST_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    # LINE for people, JSON for log collectors.
    env_choice("HOLDFAST_LOG_FORMAT", "LINE", ("LINE", "JSON")),
)


# The REST API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "NUM_PROXIES": PROXIES,
}


# Holdfast. sessions_app/conf.py has the defaults with their reasons; each can be set as HOLDFAST_<NAME>.

HOLDFAST = env_settings("HOLDFAST_", conf.DECLARED.values())
HOLDFAST["FANOUT_LAYERS"] = list(CHANNEL_LAYERS)
HOLDFAST.setdefault("LAB", DEBUG)
if DEBUG and "TOKEN_KEYS" not in HOLDFAST:
    HOLDFAST["TOKEN_KEYS"] = {"development": development_key(VAR_DIR / "token_key")}
HOLDFAST.setdefault("DEMO_AGENT", True)
# The model agent, if a model is configured, comes first and so becomes the default.
BUILT_IN_AGENTS = [*(["model"] if HOLDFAST.get("AGENT_MODEL") else []), *(["demo"] if HOLDFAST["DEMO_AGENT"] else [])]
HOLDFAST.setdefault("AGENTS", BUILT_IN_AGENTS)
HOLDFAST.setdefault("DEFAULT_AGENT", next(iter(BUILT_IN_AGENTS), ""))
