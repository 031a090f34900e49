# What the tests need, after Holdfast's settings.

import json
import os

STATIC_ROOT = os.environ.get("TEST_STATIC_ROOT")
HOLDFAST |= {
    "AGENTS": ["parrot"],
    "DEFAULT_AGENT": "parrot",
    "TOKEN_KEYS": json.loads(os.environ.get("TEST_TOKEN_KEYS", "{}")),
}
