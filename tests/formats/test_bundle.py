"""Bundles: one form is written, one form is read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import limits
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle
from mpbuild.formats.evidence.bundle import Bundle
from mpbuild.formats.evidence.dsse import Envelope, Signature

GOOD = Bundle(Envelope(b"payload", "application/vnd.in-toto+json", (Signature(b"sig"),)), "hint")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """The path of everything inside."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


@given(st.binary(max_size=50), st.text(max_size=20), st.binary(min_size=1, max_size=80))
def test_what_is_written_is_read(payload, kind, sig):
    made = Bundle(Envelope(payload, kind, (Signature(sig, "id"),)), "hint")
    assert bundle.read(bundle.encode(made)) == made


def test_the_form_is_the_one_that_other_tools_read():
    assert json.loads(bundle.encode(GOOD)) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "hint"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": "cGF5bG9hZA==",
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "c2ln", "keyid": ""}],
        },
    }


@settings(max_examples=300)
@given(st.data())
def test_whatever_stands_anywhere_is_read_or_refused_by_its_code(data):
    document = json.loads(bundle.encode(GOOD))
    path = data.draw(st.sampled_from(list(places(document))))
    changed = replaced(document, path, data.draw(JSON))
    try:
        found = bundle.read(json.dumps(changed).encode())
    except InputError as error:
        (finding,) = error.findings
        assert finding.code in ("bundle-malformed", "signature-missing")
        assert len(finding.message) < 300
    else:
        assert len(found.envelope.signatures) == 1


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    with pytest.raises(InputError) as caught:
        bundle.read(data)
    assert caught.value.findings[0].code == "bundle-malformed"


def test_a_bundle_with_a_certificate_is_read_as_such():
    document = json.loads(bundle.encode(GOOD))
    document["verificationMaterial"] = {
        "certificate": {"rawBytes": "AAAA"},
        "tlogEntries": [{}],
        "timestampVerificationData": {},
    }
    found = bundle.read(json.dumps(document).encode())
    assert found.certificate
    assert found.key_hint == ""


def test_one_that_is_too_large_is_not_looked_into():
    with pytest.raises(InputError, match="larger than"):
        bundle.read(b" " * (limits.BUNDLE_BYTES + 1))


@pytest.mark.parametrize("unit", [b"{},", b"[],", b'"a":0,'])
def test_one_with_far_too_many_values_is_not_taken_apart(unit):
    with pytest.raises(InputError, match="more than 4096 JSON values"):
        bundle.read(b"[" + unit * 100_000 + b"0]")


@pytest.mark.parametrize("place", ["", "dsseEnvelope", "verificationMaterial"])
def test_an_unknown_key_is_named_in_few_printable_letters(place):
    document = json.loads(bundle.encode(GOOD))
    (document[place] if place else document)["\x1b[2J" * 100] = 1
    with pytest.raises(InputError, match="unknown") as caught:
        bundle.read(json.dumps(document).encode())
    assert caught.value.findings[0].message.isprintable()
    assert len(caught.value.findings[0].message) < 200
