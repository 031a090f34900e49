"""The site's settings: what the environment may say, what is fixed, and Holdfast's numbers with reasons."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from project.env import env_bool, env_choice, env_database, env_int, env_keys, env_list, env_redis, env_str
from project.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

# What the program writes: the SQLite database, the development key, collected static files.
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

# Off unless somebody says so: pages of a site that debugs show its inside to strangers.
DEBUG = env_bool("HOLDFAST_DEBUG", False)


# Secrets and hosts


def development_key(path: Path) -> str:
    """A random key that is made once and kept, so that a restart logs nobody out."""
    if not path.exists():
        ours = path.with_name(f"{path.name}.{os.getpid()}")
        ours.touch(mode=0o600)
        ours.write_text(secrets.token_urlsafe(64))
        try:
            os.link(ours, path)  # unlike a rename, never replaces the key of a process that was faster
        except FileExistsError:
            pass
        ours.unlink()
    return path.read_text()


SECRET_KEY = env_str("HOLDFAST_SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "HOLDFAST_SECRET_KEY is not set. A site needs a secret key of its own, at least 50 random "
            "characters, the same in all its processes. To try or develop Holdfast: HOLDFAST_DEBUG=true."
        )
    SECRET_KEY = development_key(VAR_DIR / "secret_key")

# Names under which browsers may reach the site. The WebSocket's Origin is checked against them too.
ALLOWED_HOSTS = env_list("HOLDFAST_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("HOLDFAST_HOSTS is not set. Give the site's host names: chat.example.com,…")
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("HOLDFAST_HOSTS=*: any page could open sockets in a visitor's name; name them")


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

# Every one of them is async: one that is not would move each request and each stream to a thread and back.
# No GZipMiddleware: it ends a stream in browsers after the first chunk.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.content_security_policy",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "sessions_app.auth.identity.identity_middleware",
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


# Store and channel layer

DATABASES = {"default": env_database("HOLDFAST_DATABASE", VAR_DIR / "holdfast.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that reads first and writes later would fail as "database is locked" whenever
        # another process wrote in between; one that takes the write lock at its start waits instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds to wait for that lock
        # WAL: readers don't wait for the writer. FULL: a commit survives a power cut. 16 MB of cache each. Commits
        # change the same pages over and over: they go to the database file once per 32 MB of log, not per 4 MB.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000; "
        "PRAGMA wal_autocheckpoint=8000;",
    }
else:
    # A process whose machine vanishes doesn't end its connections: without these, the locks that it held would keep
    # every other process waiting for hours. And one to which the database falls silent has to notice, and to connect
    # anew. What the database's address says goes first.
    DATABASES["default"]["OPTIONS"] = {
        "options": "-c idle_in_transaction_session_timeout=10s",  # between two statements there are microseconds
        "connect_timeout": 5,  # seconds
        "tcp_user_timeout": 10_000,  # milliseconds without an acknowledgement of what was sent
        "keepalives_idle": 5,  # seconds of silence before the first of
        "keepalives_count": 3,
        "keepalives_interval": 2,  # seconds between them
    } | DATABASES["default"]["OPTIONS"]
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 2,
        # Connections per process: times the processes, it must stay below the server's max_connections.
        "max_size": env_int("HOLDFAST_DATABASE_POOL", 12, low=4),
        "timeout": 10,  # seconds that a request waits for a free one
        # The pool tries a lost connection again after 1, 2, 4, … s: after a minute without the database it would wait
        # another minute when that is back. Given up after so many seconds, it is opened anew by the next request.
        "reconnect_timeout": 5,
    }

# One layer for each Redis: the sessions are shared out among them. Pub/Sub: three to five times the throughput of the
# list-based layer, and no capacity shared between readers. What it loses is noticed by serials and read from the store.
CHANNEL_LAYERS = env_redis("HOLDFAST_REDIS") or {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


# People

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"


# Security. In production everything is on; what a site may need otherwise has a variable.

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG

SECURE_SSL_REDIRECT = env_bool("HOLDFAST_SSL_REDIRECT", not DEBUG)
SECURE_HSTS_SECONDS = 0 if DEBUG else env_int("HOLDFAST_HSTS_SECONDS", 31_536_000)
# Only the owner of a domain knows what else lives below it, so Holdfast speaks for its own host alone.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# How many proxies of the site's own stand in front of it. Their X-Forwarded headers are believed; without
# any, nobody's are, since every client could send them.
PROXIES = env_int("HOLDFAST_PROXIES", 0, high=9)
if PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# The page uses its own scripts, styles and pictures only: it shows pictures in answers as links.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
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
SERVESTATIC_ALLOW_ALL_ORIGINS = False  # nobody else's page needs them
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
    # Lines for people, or an object a line for what collects logs.
    env_choice("HOLDFAST_LOG_FORMAT", "LINE", ("LINE", "JSON")),
)


# The REST API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "NUM_PROXIES": PROXIES,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "Durable sessions between agents and the people who use them.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # Both have a field `status`.
    "ENUM_NAME_OVERRIDES": {
        "MessageStatus": "sessions_app.models.Message.Status",
        "SignalStatus": "sessions_app.models.Signal.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "sessions_app.api.schema.describe_transports",
    ],
    # The API page's scripts come from this server: it works offline.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}


AGENT_MODEL = env_str("HOLDFAST_AGENT_MODEL", "")
BUILT_IN_AGENTS = ["model", "demo"] if AGENT_MODEL else ["demo"]
FRAME_BYTES = env_int("HOLDFAST_FRAME_BYTES", 65_536, low=1024)

# Holdfast. Each number can be set as HOLDFAST_<NAME>; _S is seconds, _MS milliseconds, _BYTES bytes.

HOLDFAST = {
    # -- The link
    # WebSocket pings: below the idle limits of AWS ALB (60 s) and Cloudflare (100 s).
    "PING_INTERVAL_S": env_int("HOLDFAST_PING_INTERVAL_S", 50, low=1, high=3600),
    # How long a pong may take: a link that was lost in silence is noticed after the interval and this. Below the
    # interval: other servers drop a live client whose pong comes after the next ping.
    "PONG_TIMEOUT_S": env_int("HOLDFAST_PONG_TIMEOUT_S", 20, low=1, high=3600),
    # How long the strictest proxy on the way lets a connection be silent: AWS ALB's and nginx's 60 s, unless you know.
    "PROXY_IDLE_S": env_int("HOLDFAST_PROXY_IDLE_S", 60, low=1, high=86_400),
    # Heartbeat frames, which a page can see; it misses two before it replaces its socket.
    "HEARTBEAT_MS": env_int("HOLDFAST_HEARTBEAT_MS", 15_000, low=100, high=600_000),
    # Life of an HTTP stream, after which the client asks for another: proxies may bound how long a response lasts, and
    # one that reads on for a client that has vanished is noticed by nothing else.
    "STREAM_MS": env_int("HOLDFAST_STREAM_MS", 300_000, low=1000, high=86_400_000),
    # How long a poll waits for news: below the 30 s in which the strictest routers (Heroku's) want an answer.
    "POLL_MS": env_int("HOLDFAST_POLL_MS", 25_000, high=300_000),
    # A poll that has news waits so long for what follows closely: ten requests a second while an answer streams.
    "POLL_GATHER_MS": env_int("HOLDFAST_POLL_GATHER_MS", 100, high=10_000),
    # How long a client calls itself disconnected before it says suspended; nothing is lost afterwards either.
    "RECOVERY_WINDOW_MS": env_int("HOLDFAST_RECOVERY_WINDOW_MS", 120_000, low=1000),
    # Time for open sockets to say goodbye and for agents to finish writing when the server stops.
    "DRAIN_MS": env_int("HOLDFAST_DRAIN_MS", 5000, high=600_000),
    # How often an open socket's identity is checked again: a logout ends it within this time.
    "RECHECK_MS": env_int("HOLDFAST_RECHECK_MS", 10_000, low=100, high=600_000),
    # -- Writing
    # Appends to one part within this window become one event: 40 ms is 25 a second, which reads as smooth.
    "ROLLUP_MS": env_int("HOLDFAST_ROLLUP_MS", 40, choices=(0, 20, 40, 100, 500)),
    # A worker that gives no sign of life for so long is taken for dead and its answers end as interrupted.
    "LEASE_MS": env_int("HOLDFAST_LEASE_MS", 10_000, low=300, high=600_000),
    # How often a process looks for runs and signals that another one has stored. Two small queries: at 50 ms some 0.5 %
    # of a core, and a stop or an answer comes 25 ms later than at once.
    "INBOX_POLL_MS": env_int("HOLDFAST_INBOX_POLL_MS", 50, low=5, high=1000),
    # Events that a response may have in the journal before they are folded into its message: catching up
    # reads at most so many rows a response, and a long answer is rewritten only once in so many.
    "JOURNAL_EVENTS": env_int("HOLDFAST_JOURNAL_EVENTS", 128, low=1, high=100_000),
    # -- Delivery
    # Unacknowledged bytes per connection. Below 64 KiB, where the servers' transports start to hold back: so
    # a send never waits, and a reader that stands still costs no more memory than this.
    "WINDOW_BYTES": env_int("HOLDFAST_WINDOW_BYTES", 60_000, low=1024, high=65_535),
    # A client acknowledges after so many bytes: a quarter of the window, so a steady reader is never behind.
    "ACK_BYTES": env_int("HOLDFAST_ACK_BYTES", 16_384, low=256, high=65_535),
    # … and at the latest so long after a frame of events.
    "ACK_MS": env_int("HOLDFAST_ACK_MS", 2000, low=10, high=60_000),
    # A reader that stays behind for so long is disconnected; it resumes when it can read again.
    "SLOW_READER_MS": env_int("HOLDFAST_SLOW_READER_MS", 30_000, low=100, high=600_000),
    # How often a process compares its sessions' tails with the store: a hint from another may be lost.
    "TAIL_POLL_MS": env_int("HOLDFAST_TAIL_POLL_MS", 1000, low=10, high=60_000),
    # How many server and worker processes the site has: a check refuses an in-memory channel layer for several.
    "PROCESSES": env_int("HOLDFAST_PROCESSES", 1, low=1),
    # The channel layers that carry hints, by name. All processes need the same, in the same order.
    "FANOUT_LAYERS": list(CHANNEL_LAYERS),
    # Groups of sessions on the channel layers: a commit sends one layer message for each that it touched, and
    # a process hears only of those that it has readers in. All processes need the same number.
    "FANOUT_SHARDS": env_int("HOLDFAST_FANOUT_SHARDS", 16, low=1, high=1024),
    # Commits that may wait for a slow channel layer before the oldest is left to the other processes' polls.
    "FANOUT_BACKLOG": env_int("HOLDFAST_FANOUT_BACKLOG", 256, low=1, high=65_536),
    # Largest state that one answer to an attach carries; beyond it a resume becomes a reset (too-far).
    "SNAPSHOT_BYTES": env_int("HOLDFAST_SNAPSHOT_BYTES", 524_288, low=4096),
    # Messages in an attach without a cursor, and in a page of history: a screenful, and the most to ask for.
    "HISTORY_DEFAULT": env_int("HOLDFAST_HISTORY_DEFAULT", 30, low=1, high=1000),
    "HISTORY_MAX": env_int("HOLDFAST_HISTORY_MAX", 200, low=1, high=1000),
    # -- Limits on what comes in
    # Largest frame from a client: a message of MESSAGE_BYTES, escaped, fits.
    "FRAME_BYTES": FRAME_BYTES,
    # Largest body of an HTTP request, whatever its path; NDJSON uploads have limits of their own. Between FRAME_BYTES
    # and this, the API says by name what is too large; beyond it nothing is read. The admin's forms are smaller.
    "BODY_BYTES": env_int("HOLDFAST_BODY_BYTES", 2 * FRAME_BYTES, low=1024),
    # Largest message from a person: some ten pages of text.
    "MESSAGE_BYTES": env_int("HOLDFAST_MESSAGE_BYTES", 32_768, low=1),
    # Largest chunk from an agent: a tool's result is the big one.
    "CHUNK_BYTES": env_int("HOLDFAST_CHUNK_BYTES", 65_536, low=1024),
    # Largest response, all parts together: its message row is read and written whole.
    "RESPONSE_BYTES": env_int("HOLDFAST_RESPONSE_BYTES", 4_194_304, low=4096),
    # Frames a second from one connection: a client that acknowledges and types needs a tenth of it.
    "FRAMES_PER_SECOND": env_int("HOLDFAST_FRAMES_PER_SECOND", 50, low=1),
    # Likewise where a token allows to publish, and batches a second over HTTP from one owner: twenty answers at 25 a
    # second take half of it, and what comes faster is joined or waits.
    "PUBLISHES_PER_SECOND": env_int("HOLDFAST_PUBLISHES_PER_SECOND", 1000, low=1),
    # Signals a minute from one owner: faster than anyone types.
    "SIGNALS_PER_MINUTE": env_int("HOLDFAST_SIGNALS_PER_MINUTE", 60, low=1),
    # Streams, polls and signals over HTTP a minute from one owner: two tabs that poll 25 times a second while an answer
    # streams, which is as often as it changes; with POLL_GATHER_MS a tab makes at most 10.
    "LINKS_PER_MINUTE": env_int("HOLDFAST_LINKS_PER_MINUTE", 3000, low=1),
    # Requests a minute to the REST API from one owner: a page that loads makes a handful, a script some more.
    "READS_PER_MINUTE": env_int("HOLDFAST_READS_PER_MINUTE", 600, low=1),
    "WRITES_PER_MINUTE": env_int("HOLDFAST_WRITES_PER_MINUTE", 120, low=1),
    # Sessions that one connection may follow, and connections that one owner may have open in a process.
    "SESSIONS_PER_CONNECTION": env_int("HOLDFAST_SESSIONS_PER_CONNECTION", 64, low=1),
    "CONNECTIONS_PER_OWNER": env_int("HOLDFAST_CONNECTIONS_PER_OWNER", 32, low=1),
    # Sessions that one owner may have at a time: ten a day for three months.
    "SESSIONS_PER_OWNER": env_int("HOLDFAST_SESSIONS_PER_OWNER", 1000, low=1),
    # -- Tokens
    # The keys by which agents and back ends elsewhere prove themselves, as id:secret,id:secret: the first signs, all
    # verify, so that one takes the place of another without a token lost. Without any, tokens are off.
    "TOKEN_KEYS": env_keys("HOLDFAST_TOKEN_KEYS")
    or ({"development": development_key(VAR_DIR / "token_key")} if DEBUG else {}),
    # Longest life of a token: what is stolen ends by itself, and a revocation need not be kept for longer.
    "TOKEN_MAX_S": env_int("HOLDFAST_TOKEN_MAX_S", 3600, low=1, high=86_400),
    # -- Retention
    # Most hours that a policy may keep a session. Which policy is the default, the database says.
    "RETENTION_MAX_HOURS": env_int("HOLDFAST_RETENTION_MAX_HOURS", 72, low=24),
    # How often the running server removes what has expired; it is hidden from the moment it expires.
    "PURGE_EVERY_S": env_int("HOLDFAST_PURGE_EVERY_S", 300, low=1, high=86_400),
    # How long it is kept how connections ended (`manage.py diagnose_connections`), and how many of them; 0 hours: not
    # at all. A row takes some 250 bytes.
    "EVIDENCE_HOURS": env_int("HOLDFAST_EVIDENCE_HOURS", 72, low=0, high=720),
    "EVIDENCE_ROWS": env_int("HOLDFAST_EVIDENCE_ROWS", 100_000, low=100, high=10_000_000),
    # -- Agents
    # The model behind the built-in agent "model", as pydantic-ai names it: openai:gpt-5, openai-chat:…; empty: none.
    # The key, and where the provider is, stand in the provider's own variables: OPENAI_API_KEY, OPENAI_BASE_URL, …
    "AGENT_MODEL": AGENT_MODEL,
    # What that agent is told before every conversation.
    "AGENT_INSTRUCTIONS": env_str("HOLDFAST_AGENT_INSTRUCTIONS", ""),
    # How long its model may be silent before the answer is given up: some think for minutes without a sign of life.
    "AGENT_TIMEOUT_S": env_int("HOLDFAST_AGENT_TIMEOUT_S", 300, low=1, high=3600),
    # The agent that answers where nobody chose one; the demo agent needs no key and shows everything.
    "DEFAULT_AGENT": env_str("HOLDFAST_DEFAULT_AGENT", BUILT_IN_AGENTS[0]),
    # Those that a person may choose when beginning a session; the sessions don't know who runs them.
    "AGENTS": env_list("HOLDFAST_AGENTS", BUILT_IN_AGENTS),
    # Whether the web server's processes run agents; otherwise `manage.py runagents` does, in processes of its own.
    "RUN_AGENTS": env_bool("HOLDFAST_RUN_AGENTS", True),
    # Agents at work at once in one process; they wait for their models most of the time.
    "RUNS_PER_PROCESS": env_int("HOLDFAST_RUNS_PER_PROCESS", 500, low=0),
    # How long `runagents` lets agents finish when it is told to stop: most answers take less. Service managers must
    # wait longer before they kill (systemd's 90 s do; Kubernetes' 30 s and Docker's 10 s don't).
    "WORKER_DRAIN_S": env_int("HOLDFAST_WORKER_DRAIN_S", 30, high=86_400),
    # How fast the demo agent speaks: as a fast model does.
    "DEMO_TOKENS_PER_S": env_int("HOLDFAST_DEMO_TOKENS_PER_S", 30, low=1, high=10_000),
    # -- Operating
    # What a scraper shows to read /metrics (`Authorization: Bearer …`); without it there are none.
    "METRICS_TOKEN": env_str("HOLDFAST_METRICS_TOKEN", ""),
    # -- The page
    # The network lab: a drawer in which a visitor breaks the network of their own tab, and of nobody else's.
    "LAB": env_bool("HOLDFAST_LAB", DEBUG),
}
