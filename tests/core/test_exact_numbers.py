"""Exactness of JSON texts in JavaScript."""

import pytest

from sessions_app.core.exact_numbers import is_exact_in_javascript


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "7", "9007199254740991", "-9007199254740991", "1.10", "0.1", "1e2", "1.5e-7", "5e-324", "1E+300"],
)
def test_a_number_that_a_double_holds_is_exact(number: str) -> None:
    for text in (number, f'{{"a": [{{"b": {number}}}]}}', f'["9007199254740993", {number}]'):
        assert is_exact_in_javascript(text)


@pytest.mark.parametrize(
    "number",
    ["9007199254740992", "9007199254740993", "-9007199254740993", "1152921504606846976", "18446744073709551616",
     "1" + "0" * 5000, "0.12345678901234567890", "9007199254740993.0", "1e400", "-1e400", "1e-400", "NaN", "Infinity"],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_a_number_that_would_change_is_not(number: str) -> None:
    for text in (number, f'{{"a": [{{"b": {number}}}]}}', f'{{"{number}": [{number}, 1]}}'):
        assert not is_exact_in_javascript(text)


@pytest.mark.parametrize("text", ['{"to": "bob", "to": "eve"}', '{"a": {"b": 1, "b": 1}}', "{", "", "[" * 100_000])
def test_a_text_that_loses_keys_or_is_unreadable_is_not(text: str) -> None:
    assert not is_exact_in_javascript(text)
