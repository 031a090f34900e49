"""`manage.py runserver` with Holdfast's server, drained even when the autoreloader ends it."""

import os
import signal
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from daphne.management.commands.runserver import Command as DaphneCommand
from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.utils import autoreload

from sessions_app.auth.addresses import prefix
from sessions_app.servers import lifecycle
from sessions_app.servers.daphne_server import SessionServer, exit_at_next_signal


class Command(DaphneCommand):
    help = "Serve Holdfast over HTTP and WebSockets."
    server: SessionServer | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        # ServeStatic, if installed, serves static files under every server. Django's handler would bypass the limit on
        # request bodies.
        parser.add_argument("--no-access-log", action="store_true", help="Log no requests and connections.")
        parser.set_defaults(use_static_handler=not apps.is_installed("servestatic"))

    def run(self, **options: Any) -> None:
        if options["use_reloader"] and os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
            # Both processes get Control-C, and the reloader's parent would kill its child 0.25 s later.
            signal.signal(signal.SIGINT, lambda *_: None)
        try:
            super().run(**options)
        finally:
            # With the reloader the server is in another thread; a signal or a changed file ends up here.
            if self.server:
                exit_at_next_signal()
                self.server.stop_and_wait()

    def inner_run(self, *args: Any, **options: Any) -> None:
        if not options["use_asgi"]:
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        self.check(display_num_errors=True)
        self.check_migrations()
        connections.close_all()
        self.server = self.make_server(options)
        self.server.run()
        if self.server.abort_start:
            os._exit(1)  # sys.exit would end only the reloader's thread

    def make_server(self, options: dict[str, Any]) -> SessionServer:
        application = self.get_application(options)
        if not lifecycle.has_hooks():
            raise CommandError(
                f"{settings.ASGI_APPLICATION} serves no WebSockets: return sessions_app.asgi.mount(application) from it"
            )
        return SessionServer(
            application=application,
            endpoints=build_endpoint_description_strings(host=self.addr, port=int(self.port)),
            # Only the main thread gets signals; with the reloader, this is another thread.
            signal_handlers=not options["use_reloader"],
            action_logger=None if options["no_access_log"] else self.log_action,
            http_timeout=self.http_timeout,
            websocket_handshake_timeout=self.websocket_handshake_timeout,
            ready_callable=self.announce,
        )

    def announce(self) -> None:
        assert self.server
        for host, port in self.server.listening_addresses:
            address = f"[{host}]" if ":" in host else host
            self.stdout.write(f"Holdfast is at http://{address}:{port}{prefix() or '/'} (stop with Control-C)")
        self.stdout.flush()
