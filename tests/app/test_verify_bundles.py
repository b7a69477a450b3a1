"""Attached bundles: of one form, with one signature, by the given key."""

import base64
import json
import time

import pytest

from mpbuild.base import canonical
from mpbuild.formats.evidence import bundle, dsse

LINK = {"_type": "link", "name": "build", "materials": {}, "products": {}, "command": []}
LAYOUT = {"_type": "layout", "steps": [], "inspect": [], "keys": {}, "expires": "2030-01-01"}


def encoded(data):
    return base64.b64encode(data).decode()


def decoded(text):
    return base64.b64decode(text)


@pytest.mark.parametrize("what", ["payload", "signature"])
def test_a_flipped_bit_is_an_invalid_signature(unsigned, what):
    """Row 1."""
    changed = unsigned.bundle()
    envelope = changed["dsseEnvelope"]
    if what == "payload":
        data = bytearray(decoded(envelope["payload"]))
        data[data.index(b"finishedOn") + 15] ^= 1
        envelope["payload"] = encoded(bytes(data))
    else:
        data = bytearray(decoded(envelope["signatures"][0]["sig"]))
        data[-1] ^= 1
        envelope["signatures"][0]["sig"] = encoded(bytes(data))
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("signature-invalid")


def test_the_payload_type_swapped_for_another_is_reported_as_that(unsigned):
    """Row 2."""
    changed = unsigned.bundle()
    changed["dsseEnvelope"]["payloadType"] = "application/json"
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("payload-type")


def test_a_statement_signed_under_another_payload_type_is_none(unsigned):
    """Row 2, the reverse: the signature is good, for something else."""
    data = unsigned.tiny.key.sign(unsigned.payload(), "application/json")
    unsigned.attach(data)
    assert unsigned.verify().failed_with("payload-type")


def test_a_signature_under_another_payload_type_is_not_that_of_a_statement(unsigned):
    """Row 2, the reverse, disguised."""
    changed = unsigned.bundle(unsigned.tiny.key.sign(unsigned.payload(), "application/json"))
    changed["dsseEnvelope"]["payloadType"] = dsse.IN_TOTO
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("classic", [LINK, LAYOUT], ids=["link", "layout"])
def test_a_classic_link_or_layout_is_no_statement(unsigned, classic):
    """Row 3."""
    unsigned.sign(made=classic)
    assert unsigned.verify().failed_with("statement-type")


def test_an_envelope_without_signature_is_not_signed(unsigned):
    """Row 4."""
    changed = unsigned.bundle()
    changed["dsseEnvelope"]["signatures"] = []
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("signature-missing")


def test_an_empty_signature_is_not_signed(unsigned):
    changed = unsigned.bundle()
    changed["dsseEnvelope"]["signatures"][0]["sig"] = ""
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("signature-missing")


def test_two_signatures_are_one_too_many(unsigned):
    """Row 4."""
    changed = unsigned.bundle()
    changed["dsseEnvelope"]["signatures"] *= 2
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_doubled_key_in_the_bundle_is_malformed(unsigned):
    """Row 6."""
    text = unsigned.tiny.key.sign(unsigned.payload())
    assert text.startswith(b'{"dsseEnvelope":')
    unsigned.attach(text.replace(b"{", b'{"dsseEnvelope":{},', 1))
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_doubled_key_in_the_statement_is_malformed(unsigned):
    """Row 6."""
    data = unsigned.payload()
    assert data.startswith(b'{"_type":')
    unsigned.sign(made=data.replace(b'{"_type":', b'{"_type":"x","_type":', 1))
    assert unsigned.verify().failed_with("statement-malformed")


def test_a_doubled_key_in_the_predicate_is_malformed(unsigned):
    """Row 6."""
    data = unsigned.payload()
    assert data.count(b'{"id":') == 1
    unsigned.sign(made=data.replace(b'{"id":', b'{"id":"urn:evil","id":', 1))
    assert unsigned.verify().failed_with("statement-malformed")


LOOSE = {
    "a newline": lambda text: text[:8] + "\n" + text[8:],
    "a newline at the end": lambda text: text + "\n",
    "a stray character": lambda text: text[:8] + "!" + text[8:],
    "a space in front": lambda text: " " + text,
    "padding more": lambda text: text + "====",
    "padding less": lambda text: text[:-1],
    "a letter of another alphabet": lambda text: text[:8] + "-_" + text[10:],
    "a letter of no alphabet": lambda text: text[:8] + "é" + text[9:],
    "nothing but a number": lambda text: 7,
}


@pytest.mark.parametrize("field", ["payload", "sig"])
@pytest.mark.parametrize("how", LOOSE)
def test_loose_base64_is_malformed(unsigned, how, field):
    """Row 7."""
    changed = unsigned.bundle()
    envelope = changed["dsseEnvelope"]
    place = envelope if field == "payload" else envelope["signatures"][0]
    place[field] = LOOSE[how](place[field])
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_base64_with_bits_beyond_its_end_is_malformed(unsigned):
    """Row 7: two texts must not stand for the same bytes."""
    changed = unsigned.bundle()
    changed["dsseEnvelope"]["payload"] = "eB=="
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_the_valid_signature_of_another_payload_is_invalid_here(unsigned):
    """Row 8."""
    changed = unsigned.bundle()
    other = unsigned.bundle(unsigned.tiny.key.sign(unsigned.payload(predicateType="x")))
    changed["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_cut_off_json_is_malformed(unsigned, cut):
    """Row 10."""
    unsigned.attach(unsigned.tiny.key.sign(unsigned.payload())[:cut])
    assert unsigned.verify().failed_with("bundle-malformed")


@pytest.mark.parametrize("size", [50 << 20, 10 << 20, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_without_end_is_malformed_and_found_out_quickly(unsigned, size, opening):
    """Row 10."""
    unsigned.attach(opening * (size // len(opening)))
    started = time.monotonic()
    assert unsigned.verify().failed_with("bundle-malformed")
    assert time.monotonic() - started < 5


def test_a_bundle_that_claims_a_size_of_gigabytes_is_malformed(unsigned):
    """Row 10."""
    digest = unsigned.attach(unsigned.tiny.key.sign(unsigned.payload()))
    manifest = unsigned.document(digest)
    manifest["layers"][0]["size"] = 1 << 30
    unsigned.set_listing({"manifests": [unsigned.listed(manifest)]})
    assert unsigned.verify().failed_with("bundle-malformed")


UNKNOWN = {
    "an older version": lambda made: made.update(
        mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"
    ),
    "no version": lambda made: made.pop("mediaType"),
    "a version that is a number": lambda made: made.update(mediaType=3),
    "both kinds of content": lambda made: made.update(
        messageSignature={"messageDigest": {}, "signature": ""}
    ),
    "neither kind of content": lambda made: made.pop("dsseEnvelope"),
    "the other kind of content": lambda made: made.update(
        messageSignature=made.pop("dsseEnvelope")
    ),
    "no verification material": lambda made: made.pop("verificationMaterial"),
    "two ways of verifying": lambda made: made["verificationMaterial"].update(
        certificate={"rawBytes": ""}
    ),
    "no way of verifying": lambda made: made["verificationMaterial"].pop("publicKey"),
    "an unknown way of verifying": lambda made: made["verificationMaterial"].update(magic={}),
    "a hint that is no text": lambda made: made["verificationMaterial"]["publicKey"].update(hint=1),
    "a key in the bundle": lambda made: made["verificationMaterial"]["publicKey"].update(
        rawBytes=""
    ),
    "log entries that are no list": lambda made: made["verificationMaterial"].update(
        tlogEntries={}
    ),
    "something unknown in a signature": lambda made: made["dsseEnvelope"]["signatures"][0].update(
        cert=""
    ),
    "signatures that are no list": lambda made: made["dsseEnvelope"].update(signatures={}),
    "an envelope that is a list": lambda made: made.update(dsseEnvelope=[]),
    "a payload type that is no text": lambda made: made["dsseEnvelope"].update(payloadType=None),
    "a keyid that is no text": lambda made: made["dsseEnvelope"]["signatures"][0].update(keyid=1),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_bundle_of_another_form_is_malformed(unsigned, what):
    """Rows 11 and 12."""
    changed = unsigned.bundle()
    UNKNOWN[what](changed)
    unsigned.attach_changed(changed)
    assert unsigned.verify().failed_with("bundle-malformed")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"7", b'"x"', b"\xff", b"NaN", b"{}"])
def test_a_bundle_that_is_no_object_is_malformed(unsigned, data):
    unsigned.attach(data)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_signature_over_the_raw_payload_is_invalid(unsigned):
    """Row 13."""
    data = unsigned.payload()
    signature = unsigned.tiny.key.signer.signature(data)
    envelope = dsse.Envelope(data, dsse.IN_TOTO, (dsse.Signature(signature),))
    unsigned.attach(bundle.encode(bundle.Bundle(envelope, unsigned.tiny.key.hint)))
    assert unsigned.verify().failed_with("signature-invalid")


def test_a_hundred_thousand_subjects_are_refused_quickly(unsigned):
    """Row 14."""
    made = unsigned.statement()
    made["subject"] = made["subject"][:1] * 100_000
    unsigned.sign(made=json.dumps(made).encode())
    started = time.monotonic()
    assert unsigned.verify().failed_with("statement-malformed")
    assert time.monotonic() - started < 5


def test_a_thousand_digests_of_a_subject_are_refused(unsigned):
    """Row 14."""
    (first, *rest) = unsigned.statement()["subject"]
    first["digest"] |= {f"sha{n}": "00" for n in range(1000)}
    unsigned.sign(made=unsigned.statement(subject=[first, *rest]))
    assert unsigned.verify().failed_with("statement-malformed")


def test_another_key_is_an_unknown_signer(signed):
    """Row 24."""
    answer = signed.verify(key=signed.tiny.other.public)
    assert answer.failed_with("signer-unknown", "provenance-missing")


def test_another_key_with_the_hint_of_the_right_one_is_invalid(unsigned):
    forged = unsigned.tiny.other.envelope(unsigned.payload())
    data = bundle.encode(bundle.Bundle(forged.envelope, unsigned.tiny.key.hint))
    unsigned.attach(data)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("hint", ["", "whatever", "\x1b[2J"])
def test_a_foreign_hint_does_not_matter_where_the_key_is_the_right_one(unsigned, hint):
    made = unsigned.tiny.key.envelope(unsigned.payload())
    unsigned.attach(bundle.encode(bundle.Bundle(made.envelope, hint)))
    assert unsigned.verify().passed


def test_a_bundle_with_a_certificate_is_not_for_a_key(unsigned):
    """Row 24."""
    changed = unsigned.bundle()
    changed["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    unsigned.attach_changed(changed)
    answer = unsigned.verify()
    assert answer.failed_with("signer-unknown")
    assert "certificate" in answer.told("signer-unknown")


def test_stripped_signatures_are_missing(signed):
    """Rows 72 and 74."""
    path = signed.folder / "index.json"
    top = json.loads(path.read_bytes())
    top["manifests"] = top["manifests"][:1]
    path.write_bytes(canonical.encode(top))
    assert signed.verify().failed_with("signature-missing", "provenance-missing")
