"""A uvicorn server in a thread, for applications whose sockets are looked at frame by frame."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from sessions_app.servers import uvicorn_http
from tests.services import free_port
from tests.support.harness import DEADLINE_S, wait_for

OURS, UVICORNS = "sessions_app.servers.uvicorn_websocket:SocketProtocol", "websockets-sansio"


@contextmanager
def serving(application: Any, ws: str, **options: Any) -> Iterator[int]:
    """Serve an application on a port; under uvloop, as a site does."""
    uvicorn_http.install()
    options = {"ws_per_message_deflate": False, "ws_ping_interval": None, "proxy_headers": False} | options
    server = uvicorn.Server(
        uvicorn.Config(application, port=free_port(), ws=ws, loop="uvloop", lifespan="off", log_config=None, **options)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, DEADLINE_S, lambda: "uvicorn does not start")
        yield server.config.port
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
