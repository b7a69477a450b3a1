"""Canonical JSON: RFC 8785's own vectors out, nothing that readers disagree about in."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

# RFC 8785, appendix B: IEEE 754 bits and the text of the number.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]

SAFE = 2**53 - 1
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(-SAFE, SAFE)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_are_written_as_the_rfc_lists_them(bits, text):
    number = struct.unpack(">d", bytes.fromhex(bits))[0]
    assert canonical.encode(number) == text.encode()


def test_the_example_of_the_rfc_comes_out_as_there():
    """RFC 8785, sections 3.2.2 and 3.2.4."""
    example = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\u000aA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical.encode(example).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_stand_in_the_order_of_their_utf16():
    """RFC 8785, section 3.2.3: code units, not code points."""
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    text = canonical.encode(dict.fromkeys(keys, 0))
    assert list(json.loads(text)) == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


@given(VALUES)
def test_what_is_written_reads_back_as_the_same_value(value):
    assert canonical.decode(canonical.encode(value)) == value


@given(VALUES)
def test_writing_what_was_read_changes_nothing(value):
    text = canonical.encode(value)
    assert canonical.encode(canonical.decode(text)) == text


@given(st.dictionaries(st.text("abc"), st.integers(0, 9), max_size=5))
def test_the_order_in_which_keys_were_added_does_not_count(value):
    turned = dict(reversed(list(value.items())))
    assert canonical.digest(turned) == canonical.digest(value)


def test_the_digest_is_that_of_the_text():
    assert canonical.digest({"a": 1}) == Digest.of(b'{"a":1}')


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "nan is not representable"),
        (float("inf"), "inf is not representable"),
        (2**53, "exceeds safe integer domain"),
        ({1: "a"}, "object keys must be strings"),
        (b"bytes", "unsupported type"),
        ("\ud800", "non-UTF-8"),
        ({"\udcff": 1}, "surrogates not allowed"),
        (deep(100_000), "recursion"),
    ],
)
def test_a_value_without_canonical_text_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        canonical.encode(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate key 'c'"),
        (b'{"a": 1, "\\u0061": 1}', "duplicate key 'a'"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "number out of range: 1e999"),
        (b"[-1e999]", "number out of range: -1e999"),
        (b"\xef\xbb\xbf[]", "BOM"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b'{"\\udfff": 1}', "surrogates not allowed"),
        (b'["\xff"]', "invalid start byte"),
        (b"[" * 100_000, "recursion"),
        (b"9" * 5000, "5000 digits"),
        (b"[1,]", "not JSON"),
        (b"[1] 2", "Extra data"),
        (b"{'a': 1}", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_what_readers_disagree_about_is_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        canonical.decode(text)
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_whole_surrogate_pair_is_a_character():
    assert canonical.decode(b'["\\ud83d\\ude00"]') == ["😀"]


@given(st.binary(max_size=40))
def test_reading_any_bytes_gives_a_value_or_our_error(data):
    try:
        value = canonical.decode(data)
    except InputError:
        return
    assert json.loads(data) == value
