"""`manage.py serve` with two processes: shared port, replacement, rolling restart, stop in turn."""

import asyncio
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, guest, wait_for
from tests.support.raw_socket import CLOSE, TEXT, RawSocket

TOKEN = "a scraper's"
PROCESSES = "--processes 2"
SETTINGS = {
    "HOLDFAST_DRAIN_MS": "1000",
    "HOLDFAST_TAIL_POLL_MS": "100",  # there is no Redis between them
    "HOLDFAST_CONNECTIONS_PER_OWNER": "200",
    "HOLDFAST_METRICS_TOKEN": TOKEN,
    "HOLDFAST_DEMO_TOKENS_PER_S": "200",
    "HOLDFAST_LEASE_MS": "1500",  # the killed process may have run the agent
}
REPLACED = "all server processes (2) have been replaced"


@pytest.fixture(scope="module")
def shared(start_shared_server: StartServer) -> Server:
    server = start_shared_server("serve", arguments=PROCESSES, **SETTINGS)
    wait_until_both_serve(server)
    return server


def children(server: Server) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def samples(server: Server, name: str) -> list[Sample]:
    answer = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families)  # each has one head
    return [sample for family in families for sample in family.samples if sample.name == name]


def up(server: Server) -> set[str]:
    return {sample.labels["process"] for sample in samples(server, "holdfast_process_up") if sample.value}


def wait_until_both_serve(server: Server) -> None:
    wait_for(lambda: up(server) == {"1", "2"}, DEADLINE_S, lambda: f"one does not serve:\n{server.log}")


def test_sockets_are_spread_and_metrics_tell_about_both_processes(shared: Server) -> None:
    visitor = guest(shared)
    clients = [RawSocket(shared.port, headers=visitor) for _ in range(40)]
    for client in clients:
        client.read_until(TEXT)
    counts = Counter[str]()
    for sample in samples(shared, "holdfast_connections"):
        if sample.labels["transport"] == "websocket":
            counts[sample.labels["process"]] += int(sample.value)
    for client in clients:
        client.close()
    assert counts.total() == 40 and min(counts["1"], counts["2"]) >= 15, counts
    assert {sample.labels["process"] for sample in samples(shared, "process_cpu_seconds_total")} == {"1", "2"}


def test_both_processes_answer_probes(shared: Server) -> None:
    for path, body in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        assert {httpx.get(f"{shared.url}{path}", timeout=DEADLINE_S).text for _ in range(6)} == {body}


async def test_clients_of_a_killed_process_resume_and_another_takes_its_place(shared: Server) -> None:
    before = children(shared)
    async with Follower(shared.url) as first, Follower(shared.url) as second:
        second.http.cookies = first.http.cookies
        session = await first.create_session()
        await first.follow(session)
        await second.follow(session)
        await first.say(session, "Hello")
        await first.wait_until(lambda: len(first.sessions[session].text) > 50)
        os.kill(before[0], signal.SIGKILL)
        for client in (first, second):
            await client.wait_until(client.all_ended)
            assert (client.resets, client.taken_back) == ([], [])
        assert first.sessions[session].text == second.sessions[session].text
    wait_for(lambda: len(children(shared)) == 2, DEADLINE_S, lambda: shared.log)
    assert before[0] not in children(shared) and before[1] in children(shared)
    await asyncio.to_thread(wait_until_both_serve, shared)
    assert f"(pid {before[0]}) ended with -9" in shared.log


@contextmanager
def connecting(server: Server) -> Iterator[list[BaseException]]:
    """Connect all the time, as a socket and as a request; yield what went wrong."""
    visitor, wrong, is_over, count = guest(server), list[BaseException](), threading.Event(), [0]

    def connect() -> None:
        while not is_over.is_set():
            try:
                with closing(RawSocket(server.port, headers=visitor)) as client:
                    client.read_until(TEXT)
                assert httpx.get(f"{server.url}/readyz", timeout=DEADLINE_S, verify=False).status_code == 200
                count[0] += 1
            except Exception as problem:
                wrong.append(problem)

    threads = [threading.Thread(target=connect) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert count[0] > 10


def test_a_rolling_restart_refuses_no_connection(shared: Server) -> None:
    before = children(shared)
    with connecting(shared) as wrong:
        shared.signal(signal.SIGHUP)
        wait_for(lambda: REPLACED in shared.log, DEADLINE_S, lambda: shared.log)
    assert wrong == []
    assert len(children(shared)) == 2 and not set(children(shared)) & set(before)
    assert "Traceback" not in shared.log


def test_a_stop_drains_one_process_after_the_other(shared: Server) -> None:
    visitor, before = guest(shared), len(shared.log)
    clients = [RawSocket(shared.port, headers=visitor) for _ in range(10)]
    for client in clients:
        client.read_until(TEXT)
    shared.signal(signal.SIGTERM)
    wait_for(lambda: "stops" in shared.log[before:], DEADLINE_S, lambda: shared.log)
    late = RawSocket(shared.port, headers=visitor)  # the other one serves
    assert httpx.get(f"{shared.url}/readyz", timeout=DEADLINE_S).text == "the server is stopping\n"
    assert [client.read_until(CLOSE).code for client in (*clients, late)] == [1012] * 11
    assert shared.wait() == 0
    steps = re.findall(r"server process (\d) \(pid \d+\) stops|(Finished) server process", shared.log[before:])
    assert [number or word for number, word in steps] == ["1", "Finished", "2", "Finished"]
    assert "Traceback" not in shared.log


def test_processes_end_with_a_killed_parent(start_server: StartServer) -> None:
    server = start_server("serve", **SETTINGS)
    client, pids = RawSocket(server.port, headers=guest(server)), children(server)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    assert client.read_until(CLOSE).code == 1012
    wait_for(lambda: not any(map(is_alive, pids)), DEADLINE_S, lambda: server.log)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_that_cannot_start_end_the_server_with_their_error(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match="the server ended with 1:") as ended:
        start_server("serve", arguments=PROCESSES, DJANGO_SETTINGS_MODULE="tests.support.broken_site")
    log = str(ended.value)
    assert "these settings are broken" in log
    assert "CommandError: 3 server processes in a row ended before they could serve." in log


def test_a_port_in_use_is_an_error_at_once(start_server: StartServer) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="the server ended with 1:") as ended:
            start_server("serve", arguments=f"--port {port}")
    assert f"CommandError: 127.0.0.1:{port}: Address already in use" in str(ended.value)
