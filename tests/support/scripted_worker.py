"""A process elsewhere with the scripted agent: `python -m tests.support.scripted_worker URL NAME LEASE_S`."""

import logging
import sys

from agents_app.remote import Worker
from tests.support.scripted import agent  # noqa: F401  (registers the agent)
from tests.support.tokens import token

if __name__ == "__main__":
    url, name, lease_s = sys.argv[1:]
    logging.basicConfig(level="INFO")
    print("ready to run", flush=True)
    Worker(
        url, token=token(sub="agent:fleet", scope="work", agents=["scripted"]), name=name, beat_s=float(lease_s) / 6
    ).serve()
