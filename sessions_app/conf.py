"""Holdfast's settings: one typed, frozen object, `conf.settings`, built from the dict `HOLDFAST` in Django's settings.

The dict has the fields' names in capitals: `HOLDFAST = {"ROLLUP_MS": 20}`. It is optional, and so is every name in it:
the defaults are below. Read `conf.settings.rollup_ms` at each use, which costs no more than any attribute; a test that
overrides HOLDFAST gets a new object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, get_origin, get_type_hints

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a whole number, both included."""

    low: int
    high: int = 2**53

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The whole numbers that a setting may have."""

    choices: tuple[int, ...]

    def __contains__(self, value: int) -> bool:
        return value in self.choices

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


Positive = Annotated[int, Range(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldfastSettings:
    """Every setting, with its bounds, default and reason. _S is seconds, _MS milliseconds, _BYTES bytes."""

    # -- Connections
    # WebSocket pings: below the idle limits of AWS ALB (60 s) and Cloudflare (100 s).
    ping_interval_s: Annotated[int, Range(1, 3600)] = 50
    # Time for a pong: a connection lost in silence is noticed after the interval and this. Below the interval, because
    # other servers drop a live client whose pong comes after the next ping.
    pong_timeout_s: Annotated[int, Range(1, 3600)] = 20
    # Idle limit of the strictest proxy on the way: 60 s at AWS ALB and nginx, unless you know better.
    proxy_idle_s: Annotated[int, Range(1, 86_400)] = 60
    # Heartbeat frames, which a page can see; it misses two before it replaces its socket.
    heartbeat_ms: Annotated[int, Range(100, 600_000)] = 15_000
    # Life of an HTTP stream, after which the client asks for another: proxies may bound how long a response lasts, and
    # one that reads on for a client that has vanished is noticed by nothing else.
    stream_ms: Annotated[int, Range(1000, 86_400_000)] = 300_000
    # How long a poll waits for news: below the 30 s in which the strictest routers (Heroku's) want an answer.
    poll_ms: Annotated[int, Range(0, 300_000)] = 25_000
    # A poll that has news waits this long for more: ten requests a second while an answer streams.
    poll_gather_ms: Annotated[int, Range(0, 10_000)] = 100
    # How long a client calls itself disconnected before it says suspended; nothing is lost afterwards either.
    recovery_window_ms: Annotated[int, Range(1000)] = 120_000
    # When the server stops: time to close open sockets, and for agents to finish writing.
    drain_ms: Annotated[int, Range(0, 600_000)] = 5000
    # How often an open socket's identity is checked again: a logout ends it within this time.
    recheck_ms: Annotated[int, Range(100, 600_000)] = 10_000
    # -- Writing
    # Appends to one part within this window become one event: 40 ms is 25 a second, which reads as smooth.
    rollup_ms: Annotated[int, OneOf((0, 20, 40, 100, 500))] = 40
    # Under load the window widens by itself, so that text is joined instead of queued: at most this long from an
    # agent's call until readers have it. Several words a second still read as fluent.
    rollup_most_ms: Annotated[int, Range(0, 5000)] = 150
    # A worker that is silent for this long is taken for dead, and its answers end as interrupted.
    lease_ms: Annotated[int, Range(300, 600_000)] = 10_000
    # How long an agent may hold the event loop of its process before the process gives up its lease: until then the
    # other answers there are only late. The watchdog names the run and the line after a second.
    blocked_loop_ms: Annotated[int, Range(1000, 3_600_000)] = 60_000
    # How often a process looks for runs and signals that another one has stored. Two small queries: at 50 ms some 0.5 %
    # of a core, and a stop or an answer comes 25 ms later than at once.
    inbox_poll_ms: Annotated[int, Range(5, 1000)] = 50
    # Events that a response may have in the journal before they are folded into its message: catching up
    # reads at most so many rows a response, and a long answer is rewritten only once in so many.
    journal_events: Annotated[int, Range(1, 100_000)] = 128
    # -- Delivery
    # Unacknowledged bytes per connection. Below 64 KiB, where the servers' transports start to hold back: so
    # a send never waits, and a reader that stands still costs no more memory than this.
    window_bytes: Annotated[int, Range(1024, 65_535)] = 60_000
    # A client acknowledges after so many bytes: a quarter of the window, so a steady reader is never behind.
    ack_bytes: Annotated[int, Range(256, 65_535)] = 16_384
    # … and at the latest this long after a frame of events.
    ack_ms: Annotated[int, Range(10, 60_000)] = 2000
    # A reader that stays behind for this long is disconnected; it resumes when it can read again.
    slow_reader_ms: Annotated[int, Range(100, 600_000)] = 30_000
    # How often a process compares its sessions' tails with the store: a hint from another may be lost.
    tail_poll_ms: Annotated[int, Range(10, 60_000)] = 1000
    # Server and worker processes of the site: a check warns of several with an in-memory channel layer.
    processes: Positive = 1
    # The channel layers that carry hints, by name. All processes need the same, in the same order.
    fanout_layers: tuple[str, ...] = ("default",)
    # Groups of sessions on each channel layer: a commit sends a message for each that it touched, which costs sender
    # and receivers a good tenth of a millisecond. A process hears only of groups that it has readers in, so more than
    # one pay only where a process has fewer readers than there are groups. All processes need the same number.
    fanout_shards: Annotated[int, Range(1, 1024)] = 1
    # Messages that may wait for a slow channel layer before the oldest is left to the other processes' polls.
    fanout_backlog: Annotated[int, Range(1, 65_536)] = 256
    # Largest state that one answer to an attach carries; beyond it a resume becomes a reset (too-far).
    snapshot_bytes: Annotated[int, Range(4096)] = 524_288
    # Messages in an attach without a cursor, and in a page of history: a screenful, and the most to ask for.
    history_default: Annotated[int, Range(1, 1000)] = 30
    history_max: Annotated[int, Range(1, 1000)] = 200
    # -- Limits on what comes in
    # Largest frame from a client: a message of MESSAGE_BYTES, escaped, fits.
    frame_bytes: Annotated[int, Range(1024)] = 65_536
    # Largest body of an HTTP request: twice FRAME_BYTES, unless it is set. Between the two, the API says by name what
    # is too large; beyond this nothing is read. sessions_app/http/doors.py has the addresses with another limit.
    body_bytes: Annotated[int, Range(1024)] = 131_072
    # Largest NDJSON upload: a response of RESPONSE_BYTES in chunks of two characters each. It is never stored whole.
    upload_bytes: Annotated[int, Range(1024)] = 134_217_728
    # Largest POST to `api/chat/`, and frame to `ws/chat/`: AI SDK clients send the whole conversation each time,
    # of which only the last one is read. It is held in memory meanwhile, and has REQUEST_BODY_S to arrive.
    chat_body_bytes: Annotated[int, Range(1024)] = 4_194_304
    # Silence of an upload, without a complete line, after which its agent counts as gone.
    upload_silence_s: Annotated[int, Range(1, 3600)] = 300
    # Time for the head of an HTTP request, from its first byte or the connection's beginning, and for the body after
    # it: BODY_BYTES take 10 s at the 100 kbit/s of a bad mobile network. Beyond it, the answer is 408, and the end.
    request_head_s: Annotated[int, Range(1, 600)] = 15
    request_body_s: Annotated[int, Range(1, 3600)] = 30
    # Largest message from a person: some ten pages of text.
    message_bytes: Positive = 32_768
    # Largest chunk from an agent: a tool's result is the big one.
    chunk_bytes: Annotated[int, Range(1024)] = 65_536
    # Largest response, all parts together: its message row is read and written whole.
    response_bytes: Annotated[int, Range(4096)] = 4_194_304
    # Frames a second from one connection: a client that acknowledges and types needs a tenth of it. All connections of
    # an owner have four times as much together; what comes faster is read more slowly.
    frames_per_second: Positive = 50
    # Likewise where a token allows to publish, and batches a second over HTTP from one owner: twenty answers at 25 a
    # second take half of it, and what comes faster is joined or waits.
    publishes_per_second: Positive = 1000
    # Signals a minute from one owner: faster than anyone types. In an hour all of them may have as many bytes as those
    # of two minutes that are as long as MESSAGE_BYTES allows.
    signals_per_minute: Positive = 60
    # Streams, polls and signals over HTTP a minute from one owner: two tabs that poll 25 times a second while an answer
    # streams, which is as often as it changes; with POLL_GATHER_MS a tab makes at most 10.
    links_per_minute: Positive = 3000
    # Requests a minute to the REST API from one owner: a page that loads makes a handful, a script some more.
    reads_per_minute: Positive = 600
    writes_per_minute: Positive = 120
    # Bytes a minute that one owner is answered: state at attaches and polls, pages of the REST API; an attach counts as
    # 4096 bytes at least, a request as 16,384, live frames to each connection as a quarter of their bytes. The largest
    # state twelve times, or a thousand reconnects and more. Beyond it attaches wait, then are refused with the time to
    # wait, and live text comes in pieces.
    answer_bytes_per_minute: Annotated[int, Range(65_536)] = 6_291_456
    # Sessions that one connection may follow, and connections that one owner may have open in a process.
    sessions_per_connection: Positive = 64
    connections_per_owner: Positive = 32
    # Sessions that one owner may have at a time: ten a day for three months. Those that one may begin an hour.
    sessions_per_owner: Positive = 1000
    sessions_per_hour: Positive = 300
    # Bytes of messages and signals that one owner may have stored at a time. Beyond it nothing more can be asked; what
    # is stored can be read and deleted, and answers under way go on.
    stored_bytes_per_owner: Annotated[int, Range(65_536)] = 67_108_864
    # An address (IPv4, or an IPv6 /64) may do what so many people may by the limits above: anyone can be many guests,
    # and an office shares one address. Tokens with the scope `publish` don't count for theirs.
    people_per_address: Positive = 10
    # -- Signing in with a password
    # Failed sign-ins from one address, and with one name from addresses that its owner never signed in from, before
    # further ones have to wait: an office shares an address, and a person mistypes a few times.
    sign_in_failures_per_address: Annotated[int, Range(1, 10_000)] = 20
    sign_in_failures_per_name: Annotated[int, Range(1, 10_000)] = 10
    # Seconds that one failure counts: beyond the limit, one attempt in this time is allowed, 2,880 a day.
    sign_in_pause_s: Annotated[int, Range(1, 3600)] = 30
    # -- Tokens
    # The keys by which agents and back ends elsewhere prove themselves, as id:secret,id:secret: the first signs, all
    # verify, so that one takes the place of another without a token lost. Without any, tokens are off.
    token_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Longest life of a token: what is stolen ends by itself, and a revocation need not be kept for longer.
    token_max_s: Annotated[int, Range(1, 86_400)] = 3600
    # An identity provider, such as Auth0, Clerk or Keycloak, whose tokens count beside the site's own: where its public
    # keys are (JWKS, https), and its tokens' `iss` and `aud`. Without an address or an issuer, none does.
    jwks_url: str = ""
    jwks_issuer: str = ""
    jwks_audience: str = "holdfast"
    # Seconds between two requests for its keys, whatever tokens come with unknown ones: a new key counts after this.
    jwks_refresh_s: Annotated[int, Range(1, 3600)] = 10
    # Seconds after which its keys are read again: one that the provider removed counts for so long.
    jwks_max_age_s: Annotated[int, Range(10, 86_400)] = 300
    # Seconds that they count beyond that while the provider can't be reached.
    jwks_stale_s: Annotated[int, Range(0, 604_800)] = 21_600
    # Allow its address to be in a private network.
    jwks_private_addresses: bool = False
    # Origins of other sites whose pages may use the API with tokens (CORS), such as https://app.example.com: exact,
    # with the port if it isn't the default one. Visitors' cookies are another matter: CSRF_TRUSTED_ORIGINS.
    origins: tuple[str, ...] = ()
    # -- Retention
    # Most hours that a policy may keep a session. Which policy is the default, the database says.
    retention_max_hours: Annotated[int, Range(24)] = 72
    # How often the running server removes what has expired; it is hidden from the moment it expires.
    purge_every_s: Annotated[int, Range(1, 86_400)] = 300
    # Records of how connections ended (`manage.py diagnose_connections`): hours to keep them, and how many; 0 hours
    # keeps none. A row takes some 250 bytes.
    evidence_hours: Annotated[int, Range(0, 720)] = 72
    evidence_rows: Annotated[int, Range(100, 10_000_000)] = 100_000
    # -- Agents
    # The model behind the built-in agent "model", as pydantic-ai names it: openai:gpt-5, openai-chat:…; empty: none.
    # The key, and where the provider is, stand in the provider's own variables: OPENAI_API_KEY, OPENAI_BASE_URL, …
    agent_model: str = ""
    # What that agent is told before every conversation.
    agent_instructions: str = ""
    # Silence of its model after which the answer is given up: some think for minutes.
    agent_timeout_s: Annotated[int, Range(1, 3600)] = 300
    # The agent of sessions that name none; empty: no agent answers there.
    default_agent: str = ""
    # Agents that may be chosen for a new session; sessions_app doesn't know which process runs them.
    agents: tuple[str, ...] = ()
    # Names of agents that run in workers elsewhere, which claim their runs with a token (PROTOCOL.md §16). All others
    # run in the site's own processes.
    remote_agents: tuple[str, ...] = ()
    # Run agents in the web server's processes; otherwise `manage.py runagents` does, in processes of its own.
    run_agents: bool = True
    # Agents at work at once in one process; they wait for their models most of the time. One owner gets half of them at
    # most, two get a third each, and so on, so that the next one finds a place.
    runs_per_process: Annotated[int, Range(0)] = 500
    # Agents at work for one owner in each process.
    runs_per_owner: Positive = 50
    # Messages of one owner that may wait for an agent; beyond it they are refused until some have been answered.
    waiting_runs_per_owner: Positive = 1000
    # Time that `runagents` gives agents to finish when it is told to stop: most answers take less. Service managers
    # must wait longer before they kill (systemd's 90 s do; Kubernetes' 30 s and Docker's 10 s don't).
    worker_drain_s: Annotated[int, Range(0, 86_400)] = 30
    # Have the built-in demo agent, which needs no key and shows everything.
    demo_agent: bool = False
    # How fast the demo agent speaks: as a fast model does.
    demo_tokens_per_s: Annotated[int, Range(1, 10_000)] = 30
    # -- Operating
    # Bearer token that a scraper needs to read /metrics; without one, /metrics is 404.
    metrics_token: str = field(default="", repr=False)
    # -- The page
    # Make a guest of each new visitor, who can then use the page; otherwise it asks people to sign in.
    guests: bool = True
    # The network lab: a drawer in which a visitor breaks the network of their own tab only.
    lab: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """Declaration of one setting: its name in HOLDFAST, its type, and a number's bounds."""

    name: str
    kind: type
    bounds: Range | OneOf | None

    @property
    def field(self) -> str:
        """The name of its field in HoldfastSettings."""
        return self.name.lower()

    def read(self, value: object) -> Any:
        """Return `value` in the type of the field. Raises ValueError; its text is what would be right."""
        if self.kind is tuple and isinstance(value, list | tuple) and _are_strings(value):
            return tuple(value)
        if self.kind is Mapping and isinstance(value, Mapping) and _are_strings([*value, *value.values()]):
            return dict(value)
        # The exact type: a bool is an int too, but not a number that anyone means.
        if type(value) is not self.kind or (isinstance(value, int) and self.bounds and value not in self.bounds):
            raise ValueError(str(self.bounds or KINDS[self.kind]))
        return value


KINDS = {
    int: "a whole number",
    bool: "True or False",
    str: "a string",
    tuple: "a list of strings",
    Mapping: "a dict of strings",
}


def _are_strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _declared() -> Iterator[Setting]:
    for name, hint in get_type_hints(HoldfastSettings, include_extras=True).items():
        is_bounded = get_origin(hint) is Annotated
        kind = hint.__origin__ if is_bounded else get_origin(hint) or hint
        yield Setting(name.upper(), kind, hint.__metadata__[0] if is_bounded else None)


DECLARED = {setting.name: setting for setting in _declared()}


# The current settings

settings: HoldfastSettings  # built at the first use, when Django is configured


def load() -> tuple[HoldfastSettings, list[tuple[str, str]]]:
    """Read HOLDFAST: return the settings, and each problem with a hint. What has a problem has its default."""
    given = getattr(django_settings, "HOLDFAST", {})
    if not isinstance(given, Mapping):
        return HoldfastSettings(), [("HOLDFAST is not a dict.", 'Use a dict: HOLDFAST = {"ROLLUP_MS": 20}.')]
    values, problems = {}, []
    for name, value in given.items():
        setting = DECLARED.get(name)
        if setting is None:
            near = get_close_matches(str(name), DECLARED, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Remove it; sessions_app/conf.py has the names."
            problems.append((f"HOLDFAST has the unknown name {name!r}.", hint))
            continue
        try:
            values[setting.field] = setting.read(value)
        except ValueError as wrong:
            # Only numbers are repeated: anything else may be a secret.
            shown = f"is {value!r}" if setting.kind is int else "has the wrong type"
            problems.append((f"{name} {shown}.", f"Use {wrong}."))
    if "frame_bytes" in values:
        values.setdefault("body_bytes", 2 * values["frame_bytes"])
    return HoldfastSettings(**values), problems


def require_valid() -> None:
    """Raise ImproperlyConfigured with all that is wrong: for servers, which run no system checks."""
    if problems := load()[1]:
        raise ImproperlyConfigured("\n".join(f"{problem} {hint}" for problem, hint in problems))


def expect_processes(count: int) -> None:
    """Raise PROCESSES to `count` for this process: a command that starts so many knows better."""
    if load()[0].processes < count:
        django_settings.HOLDFAST = {**getattr(django_settings, "HOLDFAST", {}), "PROCESSES": count}
        _forget(setting="HOLDFAST")


if not TYPE_CHECKING:  # a type checker would take every name for one of this module's

    def __getattr__(name: str) -> Any:
        if name != "settings":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # From now on a plain global: a look-up costs what any module's costs.
        current = globals()["settings"] = load()[0]
        return current


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    """Rebuild the settings at their next use: a test has overridden HOLDFAST."""
    if setting == "HOLDFAST":
        globals().pop("settings", None)
