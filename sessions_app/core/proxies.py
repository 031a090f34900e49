"""Proxies: the traces that they leave in a request's headers, and their documented time limits."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# Request headers by which proxies can be told apart; which of them were there is all that is kept of most.
HEADERS = (
    "via",
    "forwarded",
    "x-forwarded-for",
    "cf-ray",
    "x-amzn-trace-id",
    "x-amz-cf-id",
    "x-cloud-trace-context",
    "fly-request-id",
    "x-vercel-id",
    "x-azure-ref",
    "x-envoy-external-address",
    "x-envoy-expected-rq-timeout-ms",
)
HEADERS_LENGTH = 255  # of all their names
HOPS_MAX = 99
RAY_LENGTH = 40  # Cloudflare's are 20: 16 hexadecimal digits, a dash and an airport
_KNOWN = {name.encode(): name for name in HEADERS}
_RAY = re.compile(rb"[0-9A-Za-z-]{1,%d}" % RAY_LENGTH)


@dataclass(frozen=True, slots=True)
class Hints:
    """Traces of proxies in one request's headers. Clients can forge them: they are hints.

    `headers`: those of HEADERS that were there, with blanks between. `hops`: addresses in X-Forwarded-For, of which
    none is kept. `ray`: Cloudflare's name for the request.
    """

    headers: str = ""
    hops: int = 0
    ray: str = ""


def hints(headers: Iterable[tuple[bytes, bytes]]) -> Hints:
    """Read the hints in an ASGI scope's headers. The result is bounded."""
    found: dict[str, bytes] = {}
    hops = 0
    for key, value in headers:
        name = _KNOWN.get(key)
        if name is not None:
            found[name] = value
            if name == "x-forwarded-for":
                hops += value.count(b",") + 1
    if not found:
        return NONE
    ray = found.get("cf-ray", b"")
    if not _RAY.fullmatch(ray):
        found.pop("cf-ray", None)  # not Cloudflare's own
        ray = b""
    carried = sys.intern(" ".join(name for name in HEADERS if name in found))  # the same for most connections
    return Hints(carried, min(hops, HOPS_MAX), ray.decode())


NONE = Hints()

Measure = Literal["idle", "life"]
MEASURES: tuple[Measure, ...] = ("idle", "life")


@dataclass(frozen=True, slots=True)
class Limit:
    """A proxy's documented default.

    `measure`: whether it bounds the seconds without traffic (`idle`) or those since the beginning (`life`). `header`:
    what every request through this proxy carries; empty if it leaves no trace. `setting`: what changes the limit.
    `says`: what the source says, in its words. `transport`: the only one that it is about; empty for all.
    """

    proxy: str
    measure: Measure
    seconds: int
    header: str
    setting: str
    source: str
    says: str
    transport: str = ""


LIMITS = (
    Limit(
        "AWS Application Load Balancer", "idle", 60, "x-amzn-trace-id",
        "the load balancer's attribute idle_timeout.timeout_seconds (1 to 4000)",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
        "By default, Elastic Load Balancing sets the idle timeout value for your load balancer to 60 seconds.",
    ),
    Limit(
        "nginx", "idle", 60, "",
        "proxy_read_timeout (with ingress-nginx the annotation nginx.ingress.kubernetes.io/proxy-read-timeout)",
        "https://nginx.org/en/docs/http/websocket.html",
        "By default, the connection will be closed if the proxied server does not transmit any data within 60 seconds.",
    ),
    Limit(
        "Cloudflare (Free and Pro)", "idle", 100, "cf-ray",
        "the zone's proxy read timeout, which only Enterprise plans can change",
        "https://developers.cloudflare.com/fundamentals/reference/connection-limits/",
        "Proxy Read Timeout: 100 seconds. Some TCP connections can be customized for Enterprise customers.",
    ),
    Limit(
        "Heroku's router", "idle", 55, "via",
        "nothing: Heroku's limit is fixed",
        "https://devcenter.heroku.com/articles/http-routing#timeouts",
        "Each byte sent (either from the client or from your app process) resets a rolling 55 second window.",
    ),
    Limit(
        "AWS Network Load Balancer", "idle", 350, "",
        "the TCP listener's attribute tcp.idle_timeout.seconds (60 to 6000; a TLS listener's can't be changed)",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html",
        "The default idle timeout value for TCP flows is 350 seconds.",
    ),
    Limit(
        "Azure Load Balancer", "idle", 240, "",
        "the load balancing rule's idle timeout (4 to 100 minutes)",
        "https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-idle-timeout",
        "The default setting is 4 minutes.",
    ),
    Limit(
        "Envoy", "idle", 300, "x-envoy-expected-rq-timeout-ms",
        "stream_idle_timeout of the HTTP connection manager, or idle_timeout of the route",
        "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts",
        "The default stream idle timeout is 5 minutes.",
    ),
    Limit(
        "Envoy", "life", 15, "x-envoy-expected-rq-timeout-ms",
        "timeout of the route: 0s for streams",
        "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts",
        "This timeout defaults to 15 seconds, however, it is not compatible with streaming responses.",
    ),
    Limit(
        "Google Cloud Application Load Balancer", "life", 30, "x-cloud-trace-context",
        "the backend service's timeout (gcloud compute backend-services update --timeout)",
        "https://github.com/kubernetes/ingress-gce/blob/master/examples/websocket/README.md",
        "… after 30 seconds, which is the default timeout. Note: this timeout is not an idle timeout - it's a timeout "
        "on the connection lifetime.",
    ),
    Limit(
        "Google Cloud Run", "life", 300, "x-cloud-trace-context",
        "the service's request timeout (at most 3600 s)",
        "https://cloud.google.com/run/docs/configuring/request-timeout",
        "The timeout is set by default to 5 minutes (300 seconds) and can be extended up to 60 minutes (3600 seconds).",
    ),
)  # fmt: skip

# Holdfast's own client leaves streams on purpose, which looks the same from here. `setting` is what to do about it.
OWN_CLIENT = tuple(
    Limit("Holdfast's own client", measure, seconds, "", setting, "PROTOCOL.md §2", says, transport="stream")
    for seconds, setting, says in (
        (
            4,
            "Nothing cuts them: something on these clients' way holds the beginning of a stream back, and they go on "
            "by long poll.",
            "one that isn't greeted within 4 s is closed",
        ),
        (
            10,
            "Nothing may be wrong: clients leave a stream when they find that a WebSocket works.",
            "it tries the better ones quietly beside it, after 10 s",
        ),
    )
    for measure in MEASURES
)
