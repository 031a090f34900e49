"""`manage.py serve`: the production server, uvicorn in one or more processes behind one port."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from sessions_app import conf
from sessions_app.auth.addresses import prefix
from sessions_app.servers import connection_dealer, lifecycle, supervised_server
from sessions_app.servers.supervisor import NoProcessStarts, Supervisor

MOST_PROCESSES = 256


class Command(BaseCommand):
    help = (
        "Serve the site in production: uvicorn, with the options that follow from the settings, in --processes "
        "processes behind one port. A process that dies is replaced. SIGTERM or Ctrl-C stops one after the other, so "
        "that their clients find another; a second signal stops all at once. SIGHUP replaces one after the other, with "
        "the code that is installed by then."
    )
    requires_system_checks = ()  # `handle` makes them, once for all processes

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
        parser.add_argument("--port", type=port, default=8001, help="port to listen on (default %(default)s)")
        parser.add_argument(
            "--processes",
            type=processes,
            default=1,
            metavar="N",
            help="server processes, about one for each core that may serve (default %(default)s)",
        )
        parser.add_argument("--child", type=place, help=SUPPRESS)  # how this command starts a process: NUMBER:FILE

    def handle(self, *, host: str, port: int, processes: int, child: tuple[int, int] | None, **options: object) -> None:
        if child is not None:
            number, channel = child
            os.set_inheritable(channel, False)  # programs that agents start don't get it
            serve_one(number, socket.socket(fileno=channel))
            return
        conf.expect_processes(processes)
        self.check()
        try:
            asyncio.run(self._supervise(host, port, processes))
        except NoProcessStarts as problem:
            raise CommandError(f"{problem}. Their own errors are above.") from None
        except OSError as problem:
            raise CommandError(f"{host}:{port}: {problem.strerror}") from None

    async def _supervise(self, host: str, port: int, processes: int) -> None:
        def announce() -> None:
            address = f"[{host}]" if ":" in host else host
            where = f"http://{address}:{port}{prefix() or '/'}"
            self.stdout.write(f"Holdfast is at {where} (processes: {processes}; stop with Control-C)")
            self.stdout.flush()

        with connection_dealer.bind(host, port) as listener:
            # The same command line again: the same interpreter, project, settings and path.
            command = [sys.executable, *sys.orig_argv[1:], "--child"]
            await Supervisor(listener, command, processes, announce).run()


def serve_one(number: int, channel: socket.socket) -> None:
    """Be one of the server processes."""
    application = import_string(settings.ASGI_APPLICATION)
    if not lifecycle.has_hooks():
        raise CommandError(
            f"{settings.ASGI_APPLICATION} serves no WebSockets: return sessions_app.asgi.mount(application) from it"
        )
    supervised_server.serve(application, number, channel)


def port(text: str) -> int:
    return _number(text, 65_535)


def processes(text: str) -> int:
    return _number(text, MOST_PROCESSES)


def place(text: str) -> tuple[int, int]:
    """Read a process's number and the file descriptor of its channel."""
    number, _, descriptor = text.partition(":")
    return int(number), int(descriptor)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise ArgumentTypeError(f"{text}: use a whole number from 1 to {most}")
    return int(text)
