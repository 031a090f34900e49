"""Fixtures for scenarios: real servers."""

from tests.support.harness import migrated, server, start_server, start_shared_server

__all__ = ["migrated", "server", "start_server", "start_shared_server"]
