"""Versions of drivers: compared number by number, and kept as they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import InputError

dotted = st.lists(st.integers(0, 999), min_size=1, max_size=4).map(
    lambda numbers: DottedVersion(".".join(map(str, numbers)))
)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("9.9", "10"), ("525.60.13", "580"), ("7.5", "7.10"), ("580", "580.0.1"), ("450.80.2", "451")],
)
def test_numbers_decide_not_letters(older: str, newer: str) -> None:
    assert DottedVersion(older) < newer
    assert DottedVersion(newer) > older
    assert not DottedVersion(newer) <= older
    assert not DottedVersion(older) >= newer


@given(dotted, dotted)
def test_any_two_are_in_order(one: DottedVersion, other: DottedVersion) -> None:
    assert (one < other) + (other < one) + (one <= other <= one) == 1


@pytest.mark.parametrize(("one", "other"), [("580", "580.0"), ("450.80.02", "450.80.2")])
def test_zeros_that_say_nothing_do_not_count(one: str, other: str) -> None:
    assert DottedVersion(one) >= other
    assert DottedVersion(one) <= other


def test_the_text_stays_and_the_plain_one_has_no_zeros_in_front() -> None:
    version = DottedVersion("450.80.02")
    assert str(version) == "450.80.02"
    assert version.plain == "450.80.2"
    assert version.major == 450


@pytest.mark.parametrize("text", ["", "a", "1.", ".1", "1..2", "-1", "1.2.3.4.5.6", "१", "9" * 10])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a dotted version"):
        DottedVersion(text)
