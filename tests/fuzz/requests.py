"""Requests and connections as bytes: mutated from valid ones, sent, and the status of their responses."""

import asyncio
import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from sessions_app.transports.probes import PATHS
from tests.fuzz import doors, values
from tests.fuzz.doors import Known

METHODS = ["GET"] * 5 + ["POST"] * 8 + ["PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "X" * 40]
TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=" + "b" * 300, "application/json; charset=utf-16", "application/json; charset=hex",
    "application/json; charset=undefined", "application/json; charset=idna", "text/plain; charset*=bogus''x",
    "multipart/form-data; boundary*=bogus''x", "application/json; charset=" + "x" * 3000, "application/x-ndjson",
    "é/é", ";",
    "application/json;;;=", 'application/json; x="', "application/xml", "text/html; charset=utf-8; charset=punycode",
]  # fmt: skip
HEADERS = [
    ("Host", ["evil.example", "", "127.0.0.1:99999", "[::1", "a..b", "localhost:x", "é", "x" * 3000,
        "127.0.0.1, evil"]),
    ("Cookie", [
        "x", ";;;", "sessionid=" + "a" * 32, 'sessionid="aaaaaaaa\\000"', "sessionid=../../etc",
        'a="\\', "holdfast_guest=a:b:c",
        "é=é", "csrftoken=" + "x" * 500, 'messages="\\000"', "messages=[[]]:x",
        "; ".join(f"c{n}=1" for n in range(1500)),
    ]),
    ("Origin", ["null", "http://evil.example", "http://[::1", "//", "é", "http://" + "a" * 3000]),
    ("Authorization", ["Bearer", "Bearer x", "Bearer a.b.c", "Bearer " + "e30." * 3, "Basic é", "Bearer é",
        "bearer \t"]),
    ("X-CSRFToken", ["", "é", "x" * 64, "x" * 5000]),
    ("Accept", ["text/html", "application/json; indent=999999999", ";;", "*/*;q=x", "x/" + "y" * 3000, "é"]),
    ("Accept-Language", ["x" * 3000, "é", "en;q=" + "9" * 400, ",".join(["aa-bb"] * 900)]),
    ("Accept-Encoding", ["gzip;q=x", "é", "br"]),
    ("Range", ["bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-1,2-3", "x", "bytes=" + "9" * 400 + "-", "bytes=٣-"]),
    ("If-Modified-Since", ["x", "Thu, 01 Jan 0000 00:00:00 GMT", "Thu, 99 Jan 9999 99:99:99 GMT", "9" * 400]),
    ("If-None-Match", ['"', "*", 'W/"x", ', "é"]),
    ("Last-Event-ID", ["", "x", "é", "e-9999999999999999999999", "-"]),
    ("X-Forwarded-For", ["é", ",,,", "1.2.3.4, ::1%eth0", "x" * 3000]),
    ("X-Forwarded-Host", ["evil.example", "é"]), ("X-Forwarded-Proto", ["https", "é"]), ("X-Forwarded-Port", ["x"]),
    ("X-HTTP-Method-Override", ["DELETE"]), ("Referer", ["é", "http://[", "x" * 3000]), ("Sec-Fetch-Site",
        ["cross-site", "é"]),
    ("Daphne-Root-Path", ["/x", "é", "%00", "/"]), ("Expect", ["100-continue", "x"]), ("Content-Encoding", ["gzip",
        "x"]),
    ("Upgrade", ["websocket", "h2c", "é"]), ("Connection", ["Upgrade", "é"]), ("traceparent", ["00-x-x-x", "é",
        "00-" + "0" * 60]),
    ("Content-Length", ["-1", "x", "99999999999999999999", "1, 2", "+1", "1_0"]), ("Transfer-Encoding", ["x",
        "gzip, chunked"]),
    ("X-Long", ["x" * 9000, "x" * 70_000]), ("Bad Name", ["x"]), ("X_Under", ["x"]), ("X-Control", ["\x01\x02",
        "a\x00b"]),
]  # fmt: skip
FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"]
FIELD = re.compile(rb'<(?:input|select|textarea)[^>]* name="([^"]+)"')
STREAM_S = 0.7  # after which a response without an end is left


class Learned:
    """What responses have said of each route, so that most requests get past its first check. No route is named."""

    def __init__(self, routes: list[str]) -> None:
        self.routes = routes
        self.few = [route for route in routes if not route.startswith("/admin/")]
        self._refused: set[tuple[str, str]] = set()  # route, and a method or media type
        self._bodies: dict[tuple[str, str], list[int]] = {}  # numbers of Known.bodies that a route and method took
        self._fields: dict[str, list[str]] = {}  # of the forms that a route's page has

    def route(self, random: Random) -> str:
        return random.choice(self.few if random.random() < 0.5 else self.routes)

    def accepted(self, random: Random, route: str, choices: list[str]) -> str:
        """Return one of the choices, mostly one that the route hasn't refused."""
        open_ = [choice for choice in choices if (route, choice) not in self._refused]
        return random.choice(open_ if open_ and random.random() < 0.9 else choices)

    def body(self, random: Random, route: str, method: str, count: int) -> int:
        """Return a number below `count`, often that of a body which has succeeded there."""
        taken = self._bodies.get((route, method))
        return random.choice(taken) if taken and random.random() < 0.6 else random.randrange(count)

    def form(self, random: Random, route: str) -> dict[str, Any] | None:
        """Return a filled form of the route's page, if it has shown one."""
        names = self._fields.get(route)
        if not names:
            return None
        filled = {name: random.choice(["1", "x", "on", *values.TEXTS]) for name in names if random.random() < 0.8}
        return {name: value for name, value in filled.items() if name != "csrfmiddlewaretoken"}

    def learn(self, result: "Exchange") -> None:
        if result.status == 405:
            self._refused.add((result.route, result.method))
        elif result.status == 415:
            self._refused.add((result.route, result.media_type))
        elif result.status in (201, 204) or (result.status == 200 and result.method != "GET"):
            self._bodies.setdefault((result.route, result.method), []).append(result.body)
        if result.status == 200 and (names := FIELD.findall(result.answer)):
            self._fields[result.route] = sorted({name.decode("latin1") for name in names})[:80]


@dataclass
class Exchange:
    """A request, and the status of its response: None if there was none."""

    sent: bytes
    route: str = ""
    method: str = ""
    media_type: str = ""
    body: int = 0  # its number in Known.bodies
    status: int | None = None
    answer: bytes = b""


class Visitor:
    """Someone who asks: cookies or a token, or nothing."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


def request(random: Random, known: Known, visitors: dict[str, Visitor], learned: Learned, port: int) -> Exchange:
    """Return a whole request: valid, nearly so, or malformed."""
    route = learned.route(random)
    staff = route.startswith("/admin/") and random.random() < 0.7
    visitor = visitors["staff"] if staff else random.choice(list(visitors.values()))
    method = learned.accepted(random, route, METHODS)
    media_type = learned.accepted(random, route, ["application/json"] * 3 + [*FORMS, "*"])
    bodies = known.bodies(random)
    number = learned.body(random, route, method, len(bodies))
    form = learned.form(random, route)
    if form is not None and media_type in FORMS and random.random() < 0.8:
        whole: Any = form
    else:
        whole = values.several(random, bodies[number])
    type_, data = _body(random, media_type, whole)
    if route.endswith("/publish/") and random.random() < 0.5:
        method, type_, data = "POST", "application/x-ndjson", ndjson(random)
    sent = _written(random, known, visitor, route, method, type_, data, port)
    return Exchange(sent, route, method, media_type, number)


def _written(
    random: Random, known: Known, visitor: Visitor, route: str, method: str, type_: str, data: bytes, port: int
) -> bytes:
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Connection": "close",
        "Forwarded": "for=fuzz",  # the network lab's restart is for this machine alone
        **({} if "logout" in route or "password_change" in route else visitor.headers),
        "Content-Type": type_,
    }
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        name, choices = random.choice(HEADERS)
        headers[name] = random.choice(choices)
    head = f"{method} {_target(random, known, route)} HTTP/1.1\r\n"
    if "Content-Length" not in headers and random.random() < 0.1:
        return _head(head, headers | {"Transfer-Encoding": "chunked"}) + _chunked(random, data)
    whole = _head(head, {"Content-Length": str(len(data))} | headers) + data
    if random.random() < 0.04:
        at = random.randrange(len(whole))
        return whole[:at] + random.randbytes(random.randrange(1, 5)) + whole[at + random.randrange(3) :]
    return whole[: random.randrange(len(whole))] if random.random() < 0.03 else whole


def _head(line: str, headers: dict[str, str]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{line}{fields}\r\n".encode("utf-8" if len(fields) % 2 else "latin-1", "replace")


def _target(random: Random, known: Known, route: str) -> str:
    class Parameters(dict[str, str]):
        def __missing__(self, name: str) -> str:
            text = known.parameter(random)
            if random.random() < 0.05:
                return text.replace(" ", "").replace("\r", "").replace("\n", "")[:3000]
            return quote(text, safe="", errors="replace")[:3000]

    path = route % Parameters()
    act = random.randrange(30)
    if act == 0:
        path += random.choice(
            ["%00", "%ff%fe", "%", "//", "/../", "..;/", "%2e%2e/", "é", "%c0%af", ";x=y", "#", "\x01"]
        )
    if act == 1:
        path = random.choice(
            ["*", "http://evil.example" + path, "//" + path, path[1:] or "x", path.upper(), "/" + "x" * 9000]
        )
    if random.random() < 0.3:
        path += "?" + _query(random, known)
    return path


def _query(random: Random, known: Known) -> str:
    names = [
        "cursor", "rewind", "wait", "limit", "before", "after", "since", "order", "format", "q", "p", "o", "all",
        "e", "message",
        "next", "_popup", "_changelist_filters", "status__exact", "id__exact", "created_at__gte", "created_at__year",
        "_to_field",
        "field_name", "term", "app_label", "model_name", "token", "page", "held", "x",
    ]  # fmt: skip
    act = random.randrange(12)
    if act == 0:
        return random.choice(
            ["%", "%00", "&" * 1500, "a=1&" * 1100, "%ff=%fe", "é=é", "=", "a[]=1", "x" * 9000, "?", "\x7f"]
        )
    pairs = [(random.choice(names), known.parameter(random)) for _ in range(random.randrange(1, 4))]
    return urlencode([(name, text.encode("utf-8", "replace")[:500]) for name, text in pairs])


def _body(random: Random, media_type: str, whole: Any) -> tuple[str, bytes]:
    """Return a Content-Type, and the body in that form or another."""
    if media_type == "application/json":
        return media_type, values.data(random, whole)
    fields = whole if isinstance(whole, dict) else {"x": whole}
    pairs = {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    if media_type == FORMS[0]:
        form = {name.encode("utf-8", "replace"): value.encode("utf-8", "replace") for name, value in pairs.items()}
        return media_type, urlencode(form).encode() if random.random() < 0.9 else b"a=1&" * 1100
    if media_type == FORMS[1]:
        return "multipart/form-data; boundary=b", _multipart(random, pairs)
    return random.choice(TYPES), random.choice([values.data(random, whole), _multipart(random, pairs), b""])


def _multipart(random: Random, pairs: dict[str, str]) -> bytes:
    parts = []
    for name, value in pairs.items():
        extra = random.choice(
            ["", "", "", "", '; filename="x\\\\..\\x.txt"', "; filename*=bogus''x", "; filename=", '; name="']
        )
        kind = random.choice(["", "Content-Type: text/plain; charset=hex\r\n", "Content-Transfer-Encoding: base64\r\n"])
        parts.append(f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n{kind}\r\n{value}\r\n')
    end = random.choice(["--b--\r\n", "--b--\r\n", "--b--\r\n", "--b--", "--b\r\n", "", "--b\r\n" * 1100])
    data = ("".join(parts) + end).encode("utf-8", "replace")
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.15 else data


def ndjson(random: Random) -> bytes:
    """Return lines of an upload."""
    lines = [values.data(random, values.several(random, chunk)) for chunk in doors.chunks(random)]
    if random.random() < 0.5:
        lines = [json.dumps(chunk).encode() for chunk in doors.chunks(random)]
    return random.choice([b"\n", b"\n", b"\r\n", b"\n\n\n"]).join(lines)


def _chunked(random: Random, data: bytes) -> bytes:
    sent = b""
    while data:
        size = random.randrange(1, 2000)
        piece, data = data[:size], data[size:]
        sent += b"%x\r\n%s\r\n" % (len(piece), piece)
    return sent + random.choice([b"0\r\n\r\n"] * 6 + [b"", b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffffffff\r\n"])


async def exchange(port: int, result: Exchange) -> None:
    """Send a request and read its response, or as much of it as comes within STREAM_S."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(result.sent)
        await _read(reader, result)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    head = result.answer.split(b"\r\n", 1)[0].split(b" ")
    while len(head) > 1 and head[1] == b"100":
        result.answer = result.answer.partition(b"\r\n\r\n")[2]
        head = result.answer.split(b"\r\n", 1)[0].split(b" ")
    result.status = int(head[1]) if len(head) > 1 and head[0].startswith(b"HTTP/") else None


async def _read(reader: asyncio.StreamReader, result: Exchange) -> None:
    async with asyncio.timeout(STREAM_S):
        while len(result.answer) < 200_000 and (data := await reader.read(65536)):
            result.answer += data


def is_failure(result: Exchange) -> bool:
    """Return whether a response says that the server has a bug: a 5xx other than an announced 503."""
    if result.status is None or result.status < 500:
        return False
    if result.status == 505:  # the request's HTTP version, which is the client's fault
        return False
    announced = b"Retry-After" in result.answer or b'"retryable":true' in result.answer
    is_probe = any(b" /%s " % path.encode() in result.sent for path in PATHS)
    return not (result.status == 503 and (announced or is_probe))
