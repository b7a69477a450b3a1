"""DSSE: the bytes that are signed, and base64 with one text for each value."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.evidence.dsse import pae, strict_base64


def test_the_encoding_is_that_of_the_specification():
    """The example of "DSSE protocol", section "Test vectors"."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_those_of_bytes():
    assert pae("é", "é".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xa9"


@given(st.text(max_size=20), st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40))
def test_two_payloads_are_never_encoded_the_same(kind, payload, other_kind, other):
    same = (kind, payload) == (other_kind, other)
    assert (pae(kind, payload) == pae(other_kind, other)) == same


@given(st.binary(max_size=200))
def test_what_an_encoder_writes_is_read(data):
    assert strict_base64(base64.b64encode(data).decode(), "it") == data


@given(st.text(alphabet="ABab01+/=-_ \n\té", max_size=12))
def test_no_two_texts_mean_the_same(text):
    with contextlib.suppress(InputError):
        assert base64.b64encode(strict_base64(text, "it")).decode() == text


@pytest.mark.parametrize("value", [None, 7, b"AAAA", ["AAAA"], {}])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(InputError, match="payload is not a string"):
        strict_base64(value, "payload")
