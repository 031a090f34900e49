"""Pings: the server pings every socket at its interval, under each command, and drops unresponsive clients."""

import time

import pytest

from sessions_app import conf
from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.raw_socket import PING, PONG, TEXT, RawSocket

ECHO = "tests.support.echo_application:application"


# A server that stood still finds the time for a pong over before it reads the pong: in these tests it is long.
PATIENT = {"HOLDFAST_PING_INTERVAL_S": "1", "HOLDFAST_PONG_TIMEOUT_S": "30"}
STRICT = {"HOLDFAST_PING_INTERVAL_S": "1", "HOLDFAST_PONG_TIMEOUT_S": "1"}
CUT_WITHIN_S = 15  # less than the default timeout, and more than a machine stands still


@pytest.fixture(scope="module")
def patient(start_shared_server: StartServer) -> Server:
    return start_shared_server("daphne", application=ECHO, **PATIENT)


@pytest.fixture(scope="module")
def strict(start_shared_server: StartServer) -> Server:
    return start_shared_server("daphne", application=ECHO, **STRICT)


@pytest.mark.parametrize("command", ["runserver", "daphne"])
def test_the_server_pings_at_the_interval(start_server: StartServer, command: str) -> None:
    server = start_server(command, HOLDFAST_PING_INTERVAL_S="2", HOLDFAST_PONG_TIMEOUT_S="1")
    headers = guest(server)
    opening = time.monotonic()
    socket = RawSocket(server.port, headers=headers)
    first, second = (socket.read_until(PING).at - opening for _ in range(2))
    # Autobahn's timers end on a whole second, so the first ping may come up to one second early. A busy machine makes
    # pings late, never early; and that they come at all is the setting's work.
    assert conf.settings.ping_interval_s > DEADLINE_S
    assert first > 0.8
    assert second > 2.3


def test_the_server_keeps_pinging_while_the_client_sends(patient: Server) -> None:
    socket = RawSocket(patient.port, "/ws/echo")
    pings, answers, opened = 0, 0, time.monotonic()
    while pings < 3:
        assert time.monotonic() - opened < DEADLINE_S
        socket.send_text("still here")
        while (frame := socket.receive()).opcode != TEXT:
            pings += frame.opcode == PING
        answers += 1
        time.sleep(0.05)
    assert answers > 10


def test_a_client_that_withholds_its_pongs_is_dropped(strict: Server) -> None:
    socket = RawSocket(strict.port, "/ws/echo", answer_pings=False)
    socket.read_until(PING)
    assert socket.is_cut(CUT_WITHIN_S)


def test_data_does_not_count_as_a_pong(strict: Server) -> None:
    socket = RawSocket(strict.port, "/ws/echo", answer_pings=False)
    socket.read_until(PING)
    deadline = time.monotonic() + CUT_WITHIN_S
    with pytest.raises((EOFError, ConnectionError)):
        while time.monotonic() < deadline:
            socket.send_text("hello")
            socket.read_until(TEXT)
            time.sleep(0.05)


def test_a_slow_client_that_answers_in_time_is_kept(patient: Server) -> None:
    socket = RawSocket(patient.port, "/ws/echo", answer_pings=False)
    for _ in range(2):
        ping = socket.read_until(PING)
        time.sleep(1.3)  # longer than the interval, shorter than the timeout
        socket.send(PONG, ping.payload)
    socket.send_text("still here")
    assert socket.read_until(TEXT).text == "still here"


def test_the_setting_overrides_the_command_line(start_server: StartServer) -> None:
    server = start_server("daphne", application=ECHO, arguments="--ping-interval 333", HOLDFAST_PING_INTERVAL_S="1")
    assert "ping_interval=333 is ignored" in server.log
    RawSocket(server.port, "/ws/echo").read_until(PING)


def test_the_default_is_fifty_seconds() -> None:
    assert conf.settings.ping_interval_s == 50
    assert conf.settings.pong_timeout_s < 50
