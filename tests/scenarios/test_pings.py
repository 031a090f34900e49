"""The server pings every socket at its interval, under each command that serves, and drops who doesn't answer."""

import time
from itertools import pairwise

import pytest

from sessions_app import conf
from tests.support.harness import Server, StartServer, guest
from tests.support.raw_socket import PING, PONG, TEXT, RawSocket

ECHO = "tests.support.echo:application"


@pytest.fixture(scope="module")
def echo(start_shared_server: StartServer) -> Server:
    return start_shared_server("daphne", application=ECHO, HOLDFAST_PING_INTERVAL_S="1", HOLDFAST_PONG_TIMEOUT_S="1")


@pytest.mark.parametrize("command", ["runserver", "daphne"])
def test_it_pings_at_the_interval(start_server: StartServer, command: str) -> None:
    server = start_server(command, HOLDFAST_PING_INTERVAL_S="2", HOLDFAST_PONG_TIMEOUT_S="1")
    socket = RawSocket(server.port, headers=guest(server))
    times = [time.monotonic()] + [socket.read_until(PING).at for _ in range(3)]
    # Autobahn's timers end on a whole second, so the first ping may come up to one second early.
    assert 0.8 < times[1] - times[0] < 3
    assert all(1.5 < later - earlier < 3 for earlier, later in pairwise(times[1:]))


def test_it_pings_on_while_the_client_sends(echo: Server) -> None:
    socket = RawSocket(echo.port, "/ws/echo")
    pings, answers, opened = 0, 0, time.monotonic()
    while pings < 3:
        assert time.monotonic() - opened < 8
        socket.send_text("still here")
        while (frame := socket.receive()).opcode != TEXT:
            pings += frame.opcode == PING
        answers += 1
        time.sleep(0.05)
    assert answers > 10
    assert time.monotonic() - opened < 5


def test_it_drops_a_client_that_withholds_its_pongs(echo: Server) -> None:
    socket = RawSocket(echo.port, "/ws/echo", answer_pings=False)
    ping = socket.read_until(PING)
    assert socket.is_cut(within=4)
    assert time.monotonic() - ping.at < 3


def test_data_is_no_pong(echo: Server) -> None:
    socket = RawSocket(echo.port, "/ws/echo", answer_pings=False)
    socket.read_until(PING)
    deadline = time.monotonic() + 4
    with pytest.raises((EOFError, ConnectionError)):
        while time.monotonic() < deadline:
            socket.send_text("hello")
            socket.read_until(TEXT)
            time.sleep(0.05)


def test_it_keeps_a_slow_client_that_answers_in_time(start_server: StartServer) -> None:
    server = start_server("daphne", application=ECHO, HOLDFAST_PING_INTERVAL_S="1", HOLDFAST_PONG_TIMEOUT_S="2")
    socket = RawSocket(server.port, "/ws/echo", answer_pings=False)
    for _ in range(3):
        ping = socket.read_until(PING)
        time.sleep(1.3)  # longer than the interval, shorter than the timeout
        socket.send(PONG, ping.payload)
    socket.send_text("still here")
    assert socket.read_until(TEXT).text == "still here"


def test_the_setting_rules_over_the_command_line(start_server: StartServer) -> None:
    server = start_server("daphne", application=ECHO, arguments="--ping-interval 33", HOLDFAST_PING_INTERVAL_S="1")
    assert "ping_interval=33 is ignored" in server.log
    RawSocket(server.port, "/ws/echo").read_until(PING, within=2)


def test_the_default_is_fifty_seconds() -> None:
    assert conf.PING_INTERVAL_S == 50
    assert conf.PONG_TIMEOUT_S < 50
