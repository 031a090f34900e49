"""Real proxies: nginx in front of a server, configured as common proxies are.

Their idle limits are real ones over `SCALE`; a server behind them gets its intervals by `scaled`.
"""

import os
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.services import free_port, require, wait_for_port
from tests.support.harness import DEADLINE_S, wait_for
from tests.support.tcp_proxy import TcpProxy

USER = "user root;" if os.geteuid() == 0 else ""  # of its worker: the prefix is ours alone
SCALE = 12.5  # makes 4 s of the 50 s between pings: that setting is in whole seconds
ALB_IDLE_S = 60  # AWS Application Load Balancer: idle_timeout.timeout_seconds
CLOUDFLARE_IDLE_S = 100  # Cloudflare Free and Pro: Proxy Read Timeout

UPGRADES = """
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrade_or_close;
"""


def scaled(seconds: float) -> float:
    return seconds / SCALE


def idle_for(seconds: float) -> str:
    limit = f"{round(seconds * 1000)}ms"
    return f"""
    proxy_read_timeout {limit};
    proxy_send_timeout {limit};
"""


def refuses_sockets(status: int) -> str:
    return f"""
    location /ws/ {{ return {status}; }}
"""


CONFIGURATIONS = {
    # They let everything through until it has been silent for so long.
    "alb": UPGRADES + idle_for(scaled(ALB_IDLE_S)),
    "cloudflare": UPGRADES
    + idle_for(scaled(CLOUDFLARE_IDLE_S))
    + """
    proxy_set_header CF-Ray $ray;
    add_header CF-Ray $ray always;
""",
    # They know WebSockets and don't want them.
    "no_upgrade_400": refuses_sockets(400),
    "no_upgrade_403": refuses_sockets(403),
    "no_upgrade_426": refuses_sockets(426),
    "no_upgrade_502": refuses_sockets(502),
    "no_upgrade_hangs": """
    location /ws/ { proxy_pass http://silent; }
""",
    # It doesn't know Upgrade, which is a header for one hop: the server sees a plain GET.
    "strips_upgrade": "",
    # Nor does this one, and it holds an answer back until it is whole or larger than any of a test. (Of an answer
    # in chunks, which HTTP/1.0 hasn't, nginx would pass each one on.)
    "buffers": """
    proxy_http_version 1.0;
    proxy_ignore_headers X-Accel-Buffering;
    proxy_buffer_size 1m;
    proxy_buffers 4 1m;
    proxy_busy_buffers_size 2m;
""",
    # It passes on only the headers that it knows.
    "strips_headers": UPGRADES
    + """
    proxy_buffering off;
    proxy_set_header Accept "";
    proxy_set_header Cache-Control "";
    proxy_set_header Last-Event-ID "";
    proxy_set_header User-Agent "";
    proxy_hide_header Cache-Control;
    proxy_hide_header Vary;
    proxy_hide_header X-Accel-Buffering;
""",
}


def configuration(name: str, port: int, server_ports: tuple[int, ...], silent_port: int, keepalive_s: int) -> str:
    """In the foreground; it keeps what it writes in its own prefix."""
    servers = " ".join(f"server 127.0.0.1:{server_port} max_fails=0;" for server_port in server_ports)
    return f"""
daemon off;
{USER}
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format line '$request: $status after $request_time s';
  access_log access.log line;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  proxy_http_version 1.1;
  proxy_read_timeout 1h;
  map $http_upgrade $upgrade_or_close {{ default upgrade; '' close; }}
  map $request_id $ray {{ "~^(?<start>.{{16}})" $start-FRA; }}
  upstream holdfast {{ {servers} }}
  upstream silent {{ server 127.0.0.1:{silent_port}; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    client_header_timeout 1s;
    keepalive_timeout {keepalive_s}s;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    location / {{ proxy_pass http://holdfast; }}
    {CONFIGURATIONS[name].strip()}
  }}
}}
"""


class Nginx:
    """`with Nginx("alb", server.port) as proxy:` it listens at `proxy.port`, with the configuration of that name.

    Of several servers each request comes to the next. `keepalive_s`: how long it keeps a client's connection on which
    nothing is asked.
    """

    def __init__(self, name: str, *server_ports: int, keepalive_s: int = 1) -> None:
        self.name = name
        self.server_ports = server_ports
        self.keepalive_s = keepalive_s
        self.port = free_port()
        self.place = tempfile.TemporaryDirectory(prefix=f"holdfast-{name}-")
        # The kernel accepts for a socket that listens, and nobody answers.
        self.silent = socket.create_server(("127.0.0.1", 0), backlog=128)

    def __enter__(self) -> Self:
        silent_port: int = self.silent.getsockname()[1]
        with open(f"{self.place.name}/nginx.conf", "w") as file:
            file.write(configuration(self.name, self.port, self.server_ports, silent_port, self.keepalive_s))
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.kill9()
        print(f"--- nginx {self.name}\n{self.log}")
        self.silent.close()
        self.place.cleanup()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [require("nginx"), "-p", self.place.name, "-c", "nginx.conf", "-e", "error.log"],
            cwd=self.place.name, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_for_port(self.port, self.process)

    def reload(self) -> None:
        """Reload its configuration: new connections come to a new worker, the old one serves the others."""
        self.process.send_signal(signal.SIGHUP)

    def kill9(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # its worker too
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Return nginx's log of connections and requests, which pytest shows with a failed test."""
        with open(f"{self.place.name}/error.log") as errors, open(f"{self.place.name}/access.log") as access:
            return errors.read() + access.read()


class Route:
    """The way to a server, for `with`: the link of the client (`near`), a proxy, and the link behind it (`far`)."""

    def __init__(self, name: str, server_port: int, *, keepalive_s: int = 1) -> None:
        self.name = name
        self.keepalive_s = keepalive_s
        self.far = TcpProxy(server_port)
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.far)
            proxy = stack.enter_context(Nginx(self.name, self.far.port, keepalive_s=self.keepalive_s))
            self.near = stack.enter_context(TcpProxy(proxy.port))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.near.port}"

    def strand(self) -> None:
        """Let the client's link die silently; new ones work. Its idle connections, which would hang too, go first."""
        wait_for(
            lambda: self.near.connections <= 1, DEADLINE_S, lambda: f"{self.near.connections} connections are open"
        )
        self.near.strand()
