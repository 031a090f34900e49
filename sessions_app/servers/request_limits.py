"""What servers and application agree on about requests: the size and the time of a body, and how a response breaks off.

`sessions_app.asgi.mount` sets the rule; until then nothing is limited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sessions_app.core.asgi_types import Scope

# Seconds to read what a client still sends after its response is complete. Closing with unread bytes resets the
# connection, and the client may never see the response.
LINGER_S = 1.0


class ResponseCut(Exception):
    """Raised by the body of a response: its connection ends as if the network had failed, and nothing is logged."""


class BodyRule(NamedTuple):
    """What a server does with the body of one request."""

    max_bytes: int  # of a body that a server may collect; the application refuses a longer one
    timeout_s: float | None  # for the whole body; None: the application has a time limit of its own
    is_streamed: bool  # given to the application as it arrives, when the application asks for it


Rule = Callable[[Scope], BodyRule]
# The complete response to a request that doesn't arrive in time; the scope is None before its head has.
TimeoutResponse = Callable[[Scope | None], bytes]
NO_RESPONSE_BODY = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class RequestLimits:
    """The rule of this process, and its response to a request that doesn't arrive in time."""

    rule: Rule = staticmethod(lambda scope: BodyRule(2**63, None, False))
    timeout_response: TimeoutResponse = staticmethod(lambda scope: NO_RESPONSE_BODY)


def limit_requests(rule: Rule, timeout_response: TimeoutResponse) -> None:
    """Set the rule, and the response to a request that doesn't arrive in time."""
    RequestLimits.rule = staticmethod(rule)
    RequestLimits.timeout_response = staticmethod(timeout_response)
