"""A Redis server of the test's own that is stopped, frozen and started again on one port."""

import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.services import free_port, require, wait_for_port


class Redis:
    """Not started yet. `certificate`: where it and its key stand (PEM); then it speaks TLS alone."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.port = free_port()
        self.certificate = certificate
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self.certificate:
            return f"rediss://localhost:{self.port}/0?ssl_ca_certs={self.certificate}"
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        listen = ["--port", str(self.port)]
        if self.certificate:
            tls = ["--tls-cert-file", self.certificate, "--tls-key-file", self.certificate, "--tls-auth-clients", "no"]
            listen = ["--port", "0", "--tls-port", str(self.port), *map(str, tls)]
        arguments = ["--bind", "127.0.0.1", *listen, "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [require("redis"), *arguments], stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir()
        )
        wait_for_port(self.port, self.process)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def stop(self) -> None:
        """Ends it, if it runs."""
        if self.process and self.process.poll() is None:
            self.kill9()

    def ask(self, command: str) -> str:
        """What it answers, in its own protocol; without TLS."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65536).decode()
