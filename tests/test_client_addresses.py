"""Keys of client addresses: what limits per address count by."""

from __future__ import annotations

import pytest

from sessions_app.auth.addresses import address_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:0207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:0001:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        (None, ""),
        ("testclient", ""),
        ("192.0.2.7:8000", "192.0.2.7"),
        ("[2001:db8:1:2::7]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:80", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7:80", "192.0.2.7"),
        ("192.0.2.007", ""),
        ("1" * 100_000, ""),
    ],
)
def test_an_address_has_one_key(address: str | None, key: str) -> None:
    assert address_key(address) == key
