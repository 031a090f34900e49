"""The error table's own rules."""

import pytest

from sessions_app.core.errors import ERRORS, Fault, HoldfastError


@pytest.mark.parametrize("code", ERRORS)
def test_every_close_code_is_valid_and_derived_from_the_http_status(code: str) -> None:
    kind = ERRORS[code]
    assert kind.close_code in (None, 4000 + kind.status)
    assert 400 <= kind.status < 600


@pytest.mark.parametrize("code", ERRORS)
def test_the_fault_of_an_error_matches_its_status(code: str) -> None:
    kind = ERRORS[code]
    assert (kind.fault is Fault.SERVER) == (kind.status >= 500)
    assert kind.fault is not Fault.PUBLISHER or not kind.retryable


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_has_a_text(code: str) -> None:
    message = ERRORS[code].message
    assert message[0].isupper() and " " in message and not message.endswith(".")


def test_an_error_passes_its_detail_to_the_client() -> None:
    error = HoldfastError("bad_chunk", "text-delta needs an id")
    assert error.as_dict() == {
        "code": "bad_chunk",
        "message": "The chunk is malformed: text-delta needs an id",
        "retryable": False,
    }


def test_an_unknown_code_raises() -> None:
    with pytest.raises(KeyError):
        HoldfastError("no_such_code")


def test_a_detail_stands_with_the_problem_and_before_the_advice() -> None:
    problem = HoldfastError("rate_limited", "at most 9 a second")
    assert problem.message == "Too many requests: at most 9 a second. Slow down"
    assert HoldfastError("bad_session_id", "it has 21 characters").message == "Invalid session id: it has 21 characters"


@pytest.mark.parametrize("code", ERRORS)
def test_no_message_ends_with_a_full_stop(code: str) -> None:
    assert not ERRORS[code].message.endswith(".")  # whoever shows it ends the sentence
