"""A graceful stop: the server says goodbye to every client, ends its work, and exits with 0."""

import json
import signal
import socket
import subprocess
from contextlib import suppress

import httpx
import pytest

from tests.support.harness import DEADLINE_S, ROOT, Server, StartServer, guest, wait_for
from tests.support.raw_socket import CLOSE, TEXT, RawSocket, Refused

ECHO = "tests.support.echo_application:application"
LONG_DRAIN = {"ECHO_DRAIN_S": "60", "HOLDFAST_DRAIN_MS": "60000"}  # longer than any test looks at it
SERVICE_RESTART = 1012


def start_echo(start_server: StartServer, **environment: str) -> Server:
    return start_server("daphne", application=ECHO, **environment)


def begin_to_stop(server: Server) -> None:
    server.signal(signal.SIGTERM)
    wait_for(lambda: "echo: draining" in server.log, DEADLINE_S, lambda: f"it does not drain:\n{server.log}")


def answered(client: RawSocket) -> int | None:
    """Wait for the close frame and answer it as RFC 6455 requires; return its code."""
    frame = client.read_until(CLOSE)
    with suppress(ConnectionError):  # the server has lost patience: the machine stood still
        client.send(CLOSE, frame.payload)
    return frame.code


# uvicorn stops cleanly and then ends by the signal that it was sent.
@pytest.mark.parametrize(
    ("command", "code"), [("runserver", 0), ("daphne", 0), ("serve", 0), ("uvicorn", -signal.SIGTERM)]
)
def test_a_stopping_server_closes_sockets_with_1012_and_exits(
    start_server: StartServer, command: str, code: int
) -> None:
    server = start_server(command)
    clients = [RawSocket(server.port, path, headers=guest(server)) for path in ("/ws/", "/ws/chat/") * 3]
    server.signal(signal.SIGTERM)
    assert [answered(client) for client in clients] == [SERVICE_RESTART] * 6
    assert server.wait() == code
    assert "Traceback" not in server.log


@pytest.mark.parametrize(("command", "code"), [("daphne", 0), ("serve", 0), ("uvicorn", -signal.SIGTERM)])
def test_a_stopping_server_breaks_off_the_streams_of_chats(start_server: StartServer, command: str, code: int) -> None:
    server = start_server(command, HOLDFAST_DEMO_TOKENS_PER_S="2")
    headers = guest(server)
    headers["X-CSRFToken"] = headers["Cookie"].partition("csrftoken=")[2].partition(";")[0]
    question = {"id": "message-01", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
    body = {"id": "a-chat", "trigger": "submit-message", "messages": [question]}
    text = ""
    with (
        httpx.stream("POST", f"{server.url}/api/chat/", json=body, headers=headers, timeout=DEADLINE_S) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        for piece in response.iter_text():
            if "-delta" in piece and "-delta" not in text:  # a second signal would end it at once
                server.signal(signal.SIGTERM)
            text += piece
    assert '"type":"start"' in text and '"type":"error"' not in text and "[DONE]" not in text
    assert server.wait() == code
    assert "Traceback" not in server.log


def test_a_socket_opened_just_before_the_stop_is_closed_as_well(start_server: StartServer) -> None:
    server = start_echo(start_server)
    client = RawSocket(server.port)
    server.signal(signal.SIGTERM)
    assert answered(client) == SERVICE_RESTART
    assert server.wait() == 0
    assert f"echo: disconnected {SERVICE_RESTART}" in server.log
    assert "Traceback" not in server.log


def test_control_c_drains_under_the_reloader_too(start_server: StartServer) -> None:
    server = start_server("reloader")
    client = RawSocket(server.port, headers=guest(server))
    assert server.interrupt() == 0
    assert client.read_until(CLOSE).code == SERVICE_RESTART


@pytest.mark.parametrize(("command", "code"), [("daphne", 0), ("uvicorn", -signal.SIGTERM)])
def test_sockets_stay_open_during_the_drain(start_server: StartServer, command: str, code: int) -> None:
    server = start_server(command, application=ECHO, **LONG_DRAIN)
    client = RawSocket(server.port)
    begin_to_stop(server)
    client.send_text("still here")
    assert client.receive().text == "still here"
    client.send_text("drained")
    assert answered(client) == SERVICE_RESTART
    assert server.wait() == code


def test_new_connections_are_refused_during_the_drain(start_server: StartServer) -> None:
    server = start_echo(start_server, **LONG_DRAIN)
    begin_to_stop(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_socket_on_an_old_connection_is_refused_during_the_drain(start_server: StartServer) -> None:
    server = start_echo(start_server, **LONG_DRAIN)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)
        begin_to_stop(server)
        with pytest.raises(Refused) as refusal:
            RawSocket(server.port, connection=connection)
    assert refusal.value.status == 403


def test_the_drain_is_bounded_in_time(start_server: StartServer) -> None:
    server = start_echo(start_server, ECHO_DRAIN_S="60", HOLDFAST_DRAIN_MS="300")
    assert server.terminate() == 0
    assert "did not finish within HOLDFAST_DRAIN_MS" in server.log
    assert "echo: drain cancelled" in server.log


def test_a_second_signal_stops_the_server_at_once(start_server: StartServer) -> None:
    server = start_echo(start_server, **LONG_DRAIN)
    begin_to_stop(server)
    server.signal(signal.SIGTERM)
    assert server.wait() == -signal.SIGTERM


def test_an_unresponsive_client_does_not_delay_the_stop(start_server: StartServer) -> None:
    server = start_echo(start_server)
    client = RawSocket(server.port)
    assert server.terminate() == 0
    assert client.read_until(CLOSE).code == SERVICE_RESTART


def test_an_endless_response_does_not_delay_the_stop(start_server: StartServer) -> None:
    server = start_echo(start_server)
    with httpx.stream("GET", f"{server.url}/forever", timeout=DEADLINE_S) as response:
        assert next(response.iter_bytes()) == b"ok"
        assert server.terminate() == 0


def test_the_start_hook_runs_before_connections_are_accepted(start_server: StartServer) -> None:
    server = start_echo(start_server)
    assert server.log.index("echo: started") < server.log.index("GET /healthz")


def test_a_failing_start_hook_exits_with_1(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match="the server ended with 1:"):
        start_echo(start_server, ECHO_START="fails")


@pytest.mark.parametrize("command", ["runserver", "daphne"])
def test_a_port_in_use_exits_with_1(start_server: StartServer, command: str) -> None:
    first = start_server(command)
    second = subprocess.run(first.command, env=first.environment, cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 1
    assert "Address already in use" in second.stderr


@pytest.mark.parametrize(("command", "code"), [("runserver", 0), ("uvicorn", -signal.SIGTERM)])
def test_clients_get_a_reconnection_time(start_server: StartServer, command: str, code: int) -> None:
    server = start_server(command, HOLDFAST_DRAIN_MS="500")
    client = RawSocket(server.port, headers=guest(server))
    assert json.loads(client.read_until(TEXT).text)["type"] == "connected"
    server.signal(signal.SIGTERM)
    farewell = json.loads(client.read_until(TEXT).text)
    assert farewell["type"] == "going-away"
    assert 0 <= farewell["reconnect_in_ms"] < 500
    assert answered(client) == SERVICE_RESTART
    assert server.wait() == code
