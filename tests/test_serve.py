"""`manage.py serve`: uvicorn's options, checks, merged metrics, probes."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.parser import text_string_to_metric_families

from sessions_app import conf
from sessions_app.servers import group_member
from sessions_app.servers.group_member import GroupMember
from sessions_app.servers.process_channel import Channel, Kind, Message, answer, ask
from sessions_app.servers.uvicorn_options import longest_stop_s, uvicorn_config
from sessions_app.servers.uvicorn_websocket import SocketProtocol
from sessions_app.telemetry.process_metrics import Labelled, merge, supervision
from sessions_app.transports import probes
from tests.support.harness import DEADLINE_S, until

# Uvicorn's options


async def application(*_: Any) -> None: ...


def test_uvicorns_options_follow_the_settings(settings: Any) -> None:
    settings.HOLDFAST = {
        "FRAME_BYTES": 40_000, "PING_INTERVAL_S": 7, "PONG_TIMEOUT_S": 3, "DRAIN_MS": 2000, "MESSAGE_BYTES": 20_000,
    }  # fmt: skip
    config = uvicorn_config(application)
    assert config.ws_max_size == 80_000
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (7, 3)
    assert longest_stop_s() == 2 * 2 + 10


def test_uvicorns_other_options_are_fixed() -> None:
    config = uvicorn_config(application)
    assert (config.loop, config.http, config.ws, config.lifespan) == ("uvloop", "h11", SocketProtocol, "on")
    assert not any((config.ws_per_message_deflate, config.proxy_headers, config.server_header, config.access_log))
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (30, 10)


def test_the_checks_expect_the_processes_that_are_started(settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "PROCESSES": 3}
    conf.expect_processes(2)
    assert conf.settings.processes == 3
    conf.expect_processes(4)
    assert conf.settings.processes == 4


# Metrics


def exposition(number: int, requests: int) -> bytes:
    registry = CollectorRegistry()
    CounterMetric("requests", 'Requests with "quotes"', ["path"], registry=registry).labels("/a\n# b").inc(requests)
    Histogram("seconds", "Duration", buckets=(1, 2), registry=registry).observe(number)
    return generate_latest(Labelled(registry, number))


def test_merged_metrics_have_one_head_and_a_series_of_each_process() -> None:
    merged = merge([exposition(1, 10), exposition(2, 20), supervision({1: 1, 2: 3}, {1})])
    families = {family.name: family for family in text_string_to_metric_families(merged.decode())}
    assert set(families) == {"requests", "seconds", "holdfast_process_up", "holdfast_process_starts"}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["requests_total", ("path", "/a\n# b"), ("process", "2")] == 20
    assert values["seconds_sum", ("process", "1")] == 1
    assert values["holdfast_process_up", ("process", "2")] == 0
    assert values["holdfast_process_starts_total", ("process", "2")] == 3
    assert Counter(merged.split())[b"HELP"] == 4


def test_metrics_of_two_releases_have_one_head() -> None:
    merged = merge([b"# HELP a old\n# TYPE a gauge\na 1\n", b"# HELP a new\n# TYPE a gauge\na 2\n"])
    assert merged == b"# HELP a old\n# TYPE a gauge\na 1\na 2\n"


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupMember]:
    """This process as one of a group whose parent has ended."""
    ours, theirs = Channel.pair()
    theirs.close()
    made = GroupMember(1, Channel(ours), take=socket.socket.close, count_open=int)
    monkeypatch.setattr(group_member, "current", made)
    yield made
    ours.close()


async def test_metrics_without_an_answer_of_the_parent_are_an_error(member: GroupMember, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "METRICS_TOKEN": "scraper"}
    response = await probes.respond("GET", "metrics", "Bearer scraper", None)
    assert (response.status, response.body) == (503, b"the parent of the server processes does not answer\n")


async def test_a_process_of_a_server_that_stops_is_not_ready(member: GroupMember) -> None:
    class Running:
        class health:
            @staticmethod
            async def check() -> tuple[str, str]:
                return "", ""

    assert (await probes.respond("GET", "readyz", "", Running)).body == b"ready\n"  # type: ignore[arg-type]
    member.is_stopping = True
    response = await probes.respond("GET", "readyz", "", Running)  # type: ignore[arg-type]
    assert (response.status, response.body) == (503, b"the server is stopping\n")


async def test_a_member_takes_connections_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_member, "current", None)
    monkeypatch.setattr(group_member, "_reports", [lambda number: b"metrics of %d" % number])
    (ours, theirs), taken, heard = Channel.pair(), list[socket.socket](), list[Message]()
    parent, child = Channel(ours), Channel(theirs)
    parent.listen(heard.append)
    member = GroupMember(7, child, take=taken.append, count_open=lambda: 3)
    member.join()
    with socket.socket() as connection:
        parent.send(Kind.CONNECTION, attached=connection)
    assert await ask(parent, Kind.REPORT, DEADLINE_S) == b"metrics of 7"
    await until(lambda: len(taken) == 1 and len(heard) >= 2)
    assert [message.kind for message in heard[:2]] == [Kind.READY, Kind.LOAD]
    assert heard[1].load() == (0, 3)
    metrics = asyncio.create_task(member.metrics())
    await until(lambda: heard[-1].kind is Kind.METRICS)
    stream = heard[-1].attached
    assert stream is not None
    await answer(stream, b"of all")
    assert await metrics == b"of all"
    taken[0].close()
    parent.close()
    child.close()
