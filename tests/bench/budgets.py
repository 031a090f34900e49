"""The table's lines: the names of rows, their figures, and what Holdfast's must not exceed."""

from collections.abc import Mapping
from typing import NamedTuple

ALONE, TOGETHER = "one reader returns to a 10,000-token answer", "100 readers return at once, 1,000 tokens each"
BUSY, FAST = "500 sessions × 20 tokens/s", "200 sessions × 100 tokens/s"
BUSY_ROLLED, FAST_ROLLED = f"{BUSY}, 40 ms roll-up", f"{FAST}, 40 ms roll-up"
BUSY_PLAIN = f"{BUSY}, no roll-up"
FOREIGN = "200 sessions × 20 tokens/s, 40 ms roll-up: the AI SDK's wires"
SATURATION = "saturation: answers at 20 tokens/s that one core serves with p99 ≤ 250 ms"
OVERLOAD = "overload: twice as many answers for 20 s"
FAN_1000 = "fan-out: one answer at 50 tokens/s, 1,000 readers"
FAN_10000 = "fan-out: one answer at 50 tokens/s, 10,000 readers"
CONNECTING = "1,000 readers come, 50 at a time, with signed tokens (Socket.IO and Nchan: without)"
FIRST, FIRST_APART = "from send to first token, agents in the server", "from send to first token, agents in a worker"
FIRST_ELSEWHERE = "from send to first token, agents elsewhere"
FAIR = "a second person, while one guest does the worst that limits allow"
FAIR_TEN = "the same, while ten guests do at one address"
IDLE = "5,000 sessions idle, one reader each"
STALLED = "a reader stops reading while its session gets 10 MB"
GROWTH = "one reader returns to 1,000 tokens of a database that grows"
STORED = "a 10,000-token answer at rest"

Budget = float | Mapping[str, float] | None  # for all of Holdfast's servers, or for each


class Figure(NamedTuple):
    """A line of the table: a figure of a row, in words, and its budget for Holdfast, as its page says."""

    row: str
    name: str
    what: str
    most: Budget = None
    least: Budget = None
    beside: str = ""  # a server: the line is the multiple of that one's figure in the same run
    bound: str = ""  # a figure: where it isn't 0, this one is a lower bound


def embedded(most: float, **others: float) -> Mapping[str, float]:
    """Return the budget of both servers with their agents inside, and those of others."""
    return {"uvicorn": most, "daphne": most} | others


def _streaming(row: str, beside: Budget, p50: Budget = None, p99: Budget = None) -> list[Figure]:
    return [
        Figure(row, "cpu", "server CPU s per million tokens"),
        Figure(row, "cpu", "that is, × Socket.IO's", beside, beside="socketio"),
        Figure(row, "PostgreSQL", "of PostgreSQL besides"),
        Figure(row, "Redis", "of Redis besides"),
        Figure(row, "p50", "added latency p50, ms", p50),
        Figure(row, "p99", "added latency p99, ms", p99),
    ]


def _fan_out(row: str, most: Budget) -> list[Figure]:
    return [
        Figure(row, "cpu", "server CPU s per million tokens delivered", most),
        Figure(row, "p50", "latency p50, ms"),
        Figure(row, "p99", "latency p99, ms"),
        Figure(row, "share", "of the server's core, %"),
        Figure(row, "load", "of the load's core, %"),
    ]


def _foreign(row: str) -> list[Figure]:
    return [
        Figure(row, "own_cpu", "our own wire: server CPU s per million tokens"),
        Figure(row, "http_cpu", "the AI SDK's HTTP wire"),
        Figure(row, "http_times", "that is, × our own"),
        Figure(row, "websocket_cpu", "the AI SDK's WebSocket wire"),
        Figure(row, "websocket_times", "that is, × our own"),
        Figure(row, "own_p99", "added latency p99, ms: our own wire"),
        Figure(row, "http_p99", "the AI SDK's HTTP wire"),
        Figure(row, "websocket_p99", "the AI SDK's WebSocket wire"),
    ]


def _fair(row: str, most: Budget) -> list[Figure]:
    return [
        Figure(row, "rest_quiet_50", "REST p50 when it is quiet, ms"),
        Figure(row, "rest_busy_50", "REST p50 meanwhile, ms"),
        Figure(row, "rest_quiet_99", "REST p99 when it is quiet, ms"),
        Figure(row, "rest_busy_99", "REST p99 meanwhile, ms"),
        Figure(row, "rest_ratio", "that is, ×", most),
        Figure(row, "first_quiet_50", "send to first token, p50 when it is quiet, ms"),
        Figure(row, "first_busy_50", "send to first token, p50 meanwhile, ms"),
        Figure(row, "first_quiet_99", "send to first token, p99 when it is quiet, ms"),
        Figure(row, "first_busy_99", "send to first token, p99 meanwhile, ms"),
        Figure(row, "first_ratio", "that is, ×", most),
    ]


FIGURES = [
    *_streaming(
        BUSY_ROLLED,
        embedded(1.35, remote=1.9, scaled=2.0),
        embedded(45, remote=60, scaled=70),
        embedded(90, remote=120, scaled=130),
    ),
    *_streaming(BUSY_PLAIN, embedded(1.9), embedded(10, scaled=30), embedded(50, scaled=150)),
    *_streaming(FAST_ROLLED, embedded(0.55)),
    *_foreign(FOREIGN),
    Figure(SATURATION, "answers", "answers", least={"uvicorn": 1300}, bound="is_least"),
    Figure(SATURATION, "answers", "that is, × the release before", least={"uvicorn": 2.2}, beside="before"),
    Figure(SATURATION, "asked", "tokens/s asked for"),
    Figure(SATURATION, "written", "tokens/s written"),
    Figure(SATURATION, "p99", "added latency p99, ms"),
    Figure(SATURATION, "share", "of the server's core, %"),
    Figure(SATURATION, "load", "of the load's core, %"),
    Figure(SATURATION, "beyond", "answers that are too many"),
    Figure(SATURATION, "beyond_asked", "tokens/s asked for there"),
    Figure(SATURATION, "beyond_written", "tokens/s written there"),
    Figure(SATURATION, "beyond_share", "of the server's core there, %"),
    Figure(SATURATION, "beyond_load", "of the load's core there, %"),
    Figure(OVERLOAD, "overload_p50", "added latency p50, ms"),
    Figure(OVERLOAD, "overload_p99", "added latency p99, ms", 600),
    Figure(OVERLOAD, "overload_late_p99", "p99 from when a token was due, ms"),
    Figure(OVERLOAD, "overload_written", "of the tokens asked for, written meanwhile, %"),
    Figure(OVERLOAD, "overload_before", "memory before, MiB"),
    Figure(OVERLOAD, "overload_after", "memory after, MiB"),
    Figure(OVERLOAD, "overload_again", "memory after a second overload, MiB"),
    Figure(OVERLOAD, "overload_recovery", "until latency is below 100 ms again, s"),
    Figure(OVERLOAD, "overload_load", "of the load's core, %"),
    *_fan_out(FAN_1000, 8),
    *_fan_out(FAN_10000, None),
    Figure(CONNECTING, "connect_rate", "connections a second"),
    Figure(CONNECTING, "connect_cpu", "server CPU for each, ms"),
    Figure(CONNECTING, "again_rate", "again with the same tokens, a second"),
    Figure(CONNECTING, "again_cpu", "server CPU for each, ms"),
    Figure(CONNECTING, "attach_rate", "attaches a second"),
    Figure(CONNECTING, "attach_cpu", "server CPU for each, ms"),
    Figure(CONNECTING, "connect_load", "of the load's core while they connect, %"),
    Figure(ALONE, "ms", "ms", 5),
    Figure(ALONE, "kB", "kB", 70),
    Figure(TOGETHER, "p50", "p50, ms", 50),
    Figure(TOGETHER, "max", "max, ms", 80),
    Figure(TOGETHER, "attach_p50", "on open connections: p50, ms", 40),
    Figure(TOGETHER, "attach_max", "on open connections: max, ms", 80),
    Figure(FIRST, "p50", "p50, ms", 14),
    Figure(FIRST, "p99", "p99, ms", 19),
    Figure(FIRST_APART, "p50", "p50, ms", 36),
    Figure(FIRST_APART, "p99", "p99, ms", 55),
    Figure(FIRST_ELSEWHERE, "p50", "p50, ms", 40),
    Figure(FIRST_ELSEWHERE, "p99", "p99, ms", 120),
    *_fair(FAIR, 3),
    *_fair(FAIR_TEN, None),
    Figure(IDLE, "KiB", "KiB for each", 15),
    Figure(IDLE, "MiB", "the process, MiB"),
    Figure(IDLE, "cpu", "server CPU s a minute"),
    Figure(IDLE, "cpu_100000", "scaled to 100,000 readers, CPU s a minute"),
    Figure(STALLED, "KiB", "KiB that the server grows for each"),
    Figure(GROWTH, "ms_0", "with 1 thousand messages stored, ms"),
    Figure(GROWTH, "ms_1", "with 100 thousand, ms"),
    Figure(GROWTH, "ms_2", "with 1 million, ms"),
    Figure(GROWTH, "growth", "1 million against 1 thousand, ×", 1.2),
    Figure(STORED, "kB", "kB"),
    Figure(STORED, "log", "with a row for each token, kB"),
    Figure(STORED, "ratio", "that is, × ours"),
]
