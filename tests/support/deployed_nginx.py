"""The files of deploy/ adapted to run in tests: nginx in front of servers, and the documented commands."""

import re
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services import free_port, require, wait_for_port
from tests.support.harness import ROOT

DEPLOY = ROOT / "deploy"
NAME = "localhost"  # in place of chat.example.com
# Debian's nginx has modules of its own; the tests need none.
OURS = """
daemon off;
master_process off;
"""
PLACES = "\n".join(f"  {name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


class DeployedNginx:
    """deploy/nginx.conf with the paths and ports of a test; `with` starts it. `url` is https, `plain` as port 80 is.

    `insecure_port` serves the site without TLS, for clients that don't speak it. `changes` replace parts of the file.
    """

    def __init__(
        self, server_ports: Iterable[int], *, static: Path = ROOT / "static", changes: Mapping[str, str] | None = None
    ) -> None:
        self.port, self.plain_port, self.insecure_port = free_port(), free_port(), free_port()
        self.place = tempfile.TemporaryDirectory(prefix="holdfast-nginx-")
        self.certificate = make_certificate(Path(self.place.name))
        self.trust = ssl.create_default_context(cafile=str(self.certificate))
        self.configuration = self._adapt((DEPLOY / "nginx.conf").read_text(), list(server_ports), static)
        for part, replacement in (changes or {}).items():
            assert part in self.configuration, f"deploy/nginx.conf has no {part}"
            self.configuration = self.configuration.replace(part, replacement)
        Path(self.place.name, "nginx.conf").write_text(self.configuration)

    def _adapt(self, text: str, server_ports: list[int], static: Path) -> str:
        here = "127.0.0.1"
        servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=0;" for port in server_ports)
        for pattern, replacement in (
            (r"user www-data;", OURS),
            (r"/run/nginx\.pid", "nginx.pid"),
            (r"/var/log/nginx/", ""),
            (r"worker_connections \d+", "worker_connections 1024"),
            (r"http \{", f"http {{\n{PLACES}"),
            (r"(    server 127\.0\.0\.1:800\d.*\n)+", f"{servers}\n"),
            (
                r"listen 443 ssl http2;",
                f"listen 127.0.0.1:{self.port} ssl http2; listen 127.0.0.1:{self.insecure_port};",
            ),
            (r"listen 443 ssl default_server;", f"listen {here}:{self.port} ssl default_server;"),
            (r"listen 80( default_server)?;", rf"listen {here}:{self.plain_port}\1;"),
            (r"server_name chat\.example\.com", f"server_name {NAME}"),
            (r"/etc/nginx/tls/fullchain\.pem", str(self.certificate)),
            (r"/etc/nginx/tls/privkey\.pem", str(self.certificate)),
            (r"/srv/holdfast/var/static/", f"{static}/"),
            (r"/srv/holdfast/deploy/", f"{DEPLOY}/"),
        ):
            text, count = re.subn(pattern, replacement, text)
            assert count, f"deploy/nginx.conf has no {pattern}"
        return text

    def command(self, *more: str) -> list[str]:
        return [require("nginx"), "-p", self.place.name, "-c", "nginx.conf", "-e", "error.log", *more]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command(), cwd=self.place.name, stdin=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()
        print(f"--- nginx\n{self.log}")
        self.place.cleanup()

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def insecure_url(self) -> str:
        return f"http://{NAME}:{self.insecure_port}"

    @property
    def log(self) -> str:
        return "".join(Path(self.place.name, name).read_text() for name in ("error.log", "access.log"))


def make_certificate(place: Path) -> Path:
    """A certificate for localhost and its key, in one file, which is its own authority."""
    certificate, key = place / "certificate.pem", place / "key.pem"
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *kind, "-keyout", key, "-out", certificate, *subject],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate
