"""Nchan, a module of nginx. Its WebSocket subprotocol `ws+meta.nchan` gives each message its id, to resume from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.client import TEXT, Socket
from tests.bench.peers.site import Peer, PeerReader, Write, own_place, running
from tests.bench.site import Missed
from tests.services import find, free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")  # Debian's libnginx-mod-nchan
CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  nchan_shared_memory_size 1g;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location ~ ^/pub/(\\d+)$ {{
      nchan_publisher websocket;
      nchan_channel_id $1;
      nchan_message_buffer_length 20000;
      nchan_message_timeout 10m;
    }}
    location ~ ^/sub/(\\d+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_last_message_id $arg_after;
      nchan_websocket_ping_interval 50;
    }}
  }}
}}
"""


class Client(PeerReader):
    """A reader. `last`: the head of the last message that it got, which holds its id."""

    last = b""

    async def open(self, port: int, query: str = "") -> None:
        await self.connect(port, f"/sub/{self.number}{query}", Sec_WebSocket_Protocol="ws+meta.nchan")

    def on_text(self, payload: bytes) -> None:
        self.last, _, token = payload.partition(b"\n\n")
        self.keep(token, len(payload))

    def live_tokens(self, payload: bytes) -> int:
        return 1  # it sends nothing else, and an id holds what looks like a token


class Publisher(Socket):
    """A publisher, which discards the server's response to each message."""

    def on_text(self, payload: bytes) -> None:
        pass


class Nchan(Peer[Client]):
    """The writer has a socket for each session: a location publishes to one channel."""

    async def following(self, number: int) -> Client:
        reader = Client(number)
        await reader.open(self.port)
        return reader

    async def writer(self, number: int) -> Write:
        publisher = Publisher()
        await publisher.connect(self.port, f"/pub/{number}")
        return lambda token: publisher.send(TEXT, token.encode())

    def left(self, reader: Client, tokens: int) -> Missed:
        reader.close()
        id_ = reader.last.split(b"\n")[0].removeprefix(b"id: ").decode()
        return Missed(reader.number, {"id": id_}, tokens - reader.tokens)

    async def returning(self, missed: Missed) -> Client:
        reader = Client(missed.number)
        await reader.open(self.port, f"?after={missed.where['id']}")
        return reader


def missing() -> str:
    """Return what this machine lacks, or nothing."""
    if not find("nginx"):
        return "nginx is not installed"
    return "" if MODULE.exists() else "libnginx-mod-nchan is not installed"


@contextmanager
def nchan(seed: int) -> Iterator[Nchan]:
    port = free_port()
    with own_place() as place:
        place.chmod(0o755)  # its worker is nobody
        (place / "nginx.conf").write_text(CONFIGURATION.format(module=MODULE, port=port))
        command = [str(find("nginx")), "-p", str(place), "-c", "nginx.conf", "-e", "error.log"]
        with running(command, place, port, processes=2) as pids:
            yield Nchan(place, seed, port, pids)
