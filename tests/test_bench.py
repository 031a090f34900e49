"""The benchmark's own logic: the search for the capacity, counting readers, lateness, and the table."""

from collections.abc import Callable

import pytest

from tests.bench import budgets
from tests.bench.client import TEXT
from tests.bench.fanout import Chunk, Counter
from tests.bench.foreign import Chats, HttpReader
from tests.bench.holdfast import Client
from tests.bench.order import Order
from tests.bench.overload import recovery
from tests.bench.peers import nchan, socketio
from tests.bench.report import Results, table
from tests.bench.saturation import Search, Step, search
from tests.bench.site import Reader, Wrong

SEARCH = Search(first=400, most=2400, precision=0.05)


def serving(capacity: int, tried: list[int]) -> Callable[[int], Step]:
    """Return an attempt with a server that serves so many answers."""

    def attempt(answers: int) -> Step:
        tried.append(answers)
        share = min(1.0, capacity / answers)
        return Step(answers, {"p99": 50.0 if share == 1 else 900.0, "rate": share * answers * 20, "share": share})

    return attempt


@pytest.mark.parametrize("capacity", [10, 37, 395, 400, 612, 799, 1345, 2390])
def test_the_search_finds_the_capacity_to_within_its_precision(capacity: int) -> None:
    tried: list[int] = []
    served, beyond = search(serving(capacity, tried), SEARCH)
    assert beyond
    assert served.answers <= capacity < beyond.answers
    assert beyond.answers - served.answers <= max(10, 0.05 * served.answers)
    assert len(tried) == len(set(tried)) <= 12


def test_a_server_that_serves_the_most_answers_has_no_upper_bound() -> None:
    served, beyond = search(serving(10_000, []), SEARCH)
    assert (served.answers, beyond) == (2400, None)


def test_a_server_that_serves_nothing_is_an_error() -> None:
    with pytest.raises(Wrong, match="fewer than 10 answers are served"):
        search(serving(0, []), SEARCH)


def test_answers_that_are_written_late_are_not_served_however_soon_they_arrive() -> None:
    assert not Step(1000, {"p99": 20.0, "rate": 18_000.0}).is_served
    assert Step(1000, {"p99": 250.0, "rate": 19_500.0}).is_served


def test_a_step_that_failed_is_of_the_load_generator_if_the_server_had_room() -> None:
    assert Step(1000, {"load": 0.99, "share": 0.7}).is_of_the_load
    assert not Step(1000, {"load": 0.99, "share": 0.99}).is_of_the_load
    assert not Step(1000, {}).is_of_the_load


def test_a_miss_with_room_on_both_cores_is_tried_again() -> None:
    assert Step(1000, {"p99": 900.0, "rate": 9000.0, "share": 0.5, "load": 0.4}).is_doubtful
    assert Step(1000, {"p99": 400.0, "rate": 18_000.0, "share": 1.0, "load": 0.4}).is_doubtful
    assert not Step(1000, {"p99": 900.0, "rate": 9000.0, "share": 1.0, "load": 0.4}).is_doubtful
    assert not Step(1000, {"p99": 20.0, "rate": 20_000.0, "share": 0.5, "load": 0.4}).is_doubtful


# Counting readers


def frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([128 | TEXT, size]) if size < 126 else bytes([128 | TEXT, 126]) + size.to_bytes(2, "big")
    return head + payload


async def opened(reader: Reader) -> Reader:
    reader.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    return reader


FRAMES = {
    nchan.Client: [b"id: 1764529%03d:0\n\n 12%03d" % (number, number) for number in range(9)],
    socketio.Client: [b'42["token"," 12%03d","abc%d"]' % (number, number) for number in range(9)],
}


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("cut", [1, 7, 30, 64, 1000])
async def test_readers_that_are_counted_have_the_tokens_of_one_that_parses(
    kind: type[nchan.Client] | type[socketio.Client], cut: int
) -> None:
    known: dict[bytes, Chunk] = {}
    text = b"".join(map(frame, FRAMES[kind]))
    for _ in range(3):
        whole, counted = await opened(kind(0)), await opened(kind(0))
        counter = Counter(counted, known)
        for start in range(0, len(text), cut):
            whole.data_received(text[start : start + cut])
            counter.data_received(text[start : start + cut])
        assert counted.tokens == whole.tokens == 9
    assert counted.arrived == [] or cut < len(text)


async def test_a_frame_that_holds_more_than_tokens_is_left_to_the_reader_itself() -> None:
    sent: list[bytes] = []
    reader = await opened(socketio.Client(0))
    reader.send = lambda opcode, payload: sent.append(payload)  # type: ignore[method-assign]
    known: dict[bytes, Chunk] = {}
    counter = Counter(reader, known)
    for _ in range(2):
        counter.data_received(frame(socketio.PING))
    assert (sent, known) == ([socketio.PONG] * 2, {})


async def test_a_state_that_repeats_an_answer_adds_only_what_is_new() -> None:
    reader = Client(0, "s")
    patch = b'{"type":"attached","messages":[{"role":"assistant","at":%d,"parts":[{"type":"text","text":"%s"}]}]}'
    reader.arrived = [
        (100.0, b'{"type":"events","events":[{"chunk":{"delta":" 99990 99991"}}]}'),
        (101.0, patch % (0, b" 99990 99991 00001")),
        (102.0, patch % (18, b" 00002")),
    ]
    assert list(reader.gains()) == [(100.0, [99.999, 99.9991]), (101.0, [100.0001]), (102.0, [100.0002])]


async def test_tokens_that_arrive_after_more_than_their_stamps_can_tell_have_their_times() -> None:
    reader = Reader(0)
    reader.arrived = [(100.0, b" 99990"), (119.0, b" 00000 00000 50000"), (150.0, b" 49999")]
    assert list(reader.gains()) == [(100.0, [99.999]), (119.0, [100.0, 100.0, 105.0]), (150.0, [114.9999])]


# Recovery


def probe(delays: list[float]) -> Reader:
    """Return a reader of an answer at 10 tokens a second from 1000 s on, each token so many seconds late."""
    reader = Reader(0)
    reader.arrived = [(1000 + number / 10 + delay, b" %02d000" % number) for number, delay in enumerate(delays)]
    return reader


async def test_recovery_ends_with_the_last_late_token() -> None:
    order = Order(10, 40)
    well, late = [0.02] * 40, [0.5] * 25 + [0.02] * 15
    assert recovery([probe(well)], [order], 1000.0, 1002.0) == 0
    assert recovery([probe(well), probe(late)], [order] * 2, 1000.0, 1002.0) == pytest.approx(0.9)
    assert recovery([probe([0.5] * 40)], [order], 1000.0, 1002.0) == float("inf")


# The table


def line(results: Results, what: str) -> list[str]:
    return next([cell.strip() for cell in text.split("|")] for text in table(results).splitlines() if what in text)


def test_the_table_compares_with_budgets_and_with_others_of_the_same_run() -> None:
    results = Results()
    for server, cpu in {"uvicorn": 50.0, "remote": 50.0, "socketio": 30.0}.items():
        results.add(budgets.BUSY_ROLLED, server, {"cpu": cpu})
    assert line(results, "Socket.IO's") == ["", "", "that is, × Socket.IO's", "≤ 1.35; remote 1.9; scaled 2",
                                            "**1.7** ×", "1.7 ×", "–", ""]  # fmt: skip
    assert line(results, "what is kept")[4:7] == ["everything, on disk (SQLite)"] * 2 + ["two minutes, in memory"]


def test_the_table_marks_lower_bounds_and_what_is_less_than_it_must_be() -> None:
    results = Results()
    results.add(budgets.SATURATION, "uvicorn", {"answers": 1200.0, "is_least": 0.0})
    results.add(budgets.SATURATION, "before", {"answers": 600.0, "is_least": 0.0})
    results.add(budgets.SATURATION, "socketio", {"answers": 1500.0, "is_least": 1.0})
    assert line(results, "| answers |")[4:7] == ["**1,200**", "600, 0.5 ×", "≥ 1,500, 1.2 ×"]
    assert line(results, "the release before |")[4:7] == ["**2** ×", "–", "2.5 ×"]


async def test_a_chats_reader_counts_tokens_alone_however_its_body_is_divided() -> None:
    events = b"".join(b'id: 12345678-%d\ndata: {"delta":" %05d"}\n\n' % (n, 10_000 + n) for n in range(3))
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (events[:50], events[50:]))
    for size in (1, 7, 1000):
        reader = HttpReader(0, "session", "cookie")
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
        for at in range(0, len(answer), size):
            reader.data_received(answer[at : at + size])
        assert reader.tokens == 3
        Chats.check(Chats.__new__(Chats), reader, 3)


@pytest.mark.parametrize("stamps", [(10_000, 10_002), (10_002, 10_001, 10_003)], ids=["a loss", "another order"])
async def test_a_chats_loss_or_other_order_is_wrong(stamps: tuple[int, ...]) -> None:
    reader = HttpReader(0, "session", "cookie")
    reader.on_text(b"".join(b" %05d" % stamp for stamp in stamps))
    with pytest.raises(Wrong):
        Chats.check(Chats.__new__(Chats), reader, 3)
