"""No message holds a login, however badly it is written into an address."""

import pytest

from mpbuild.base.redaction import redacted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "at https://u:p@a.example/ and http://t@b.example/x",
            "at https://a.example/ and http://b.example/x",
        ),
        ("https://u:p@a.example/x@y", "https://a.example/x@y"),
        ("'https://u:p@ss@a.example:80/x'", "'https://a.example:80/x'"),
        ("'https://u:p/ss@a.example/x' is wrong", "'https://a.example/x' is wrong"),
        ("https://a.example:80/@scope/x", "https://a.example:80/@scope/x"),
        ("https://[::1]:80/@scope/x", "https://[::1]:80/@scope/x"),
        ("file:///tmp/a@b", "file:///tmp/a@b"),
        ("who@where.example says: // no", "who@where.example says: // no"),
    ],
)
def test_a_login_is_taken_out_of_addresses_and_nothing_else_is(text: str, told: str) -> None:
    assert redacted(text) == told
