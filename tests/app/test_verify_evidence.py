"""What is attached to a package: only the right statement by the right key counts."""

import base64
import json
import time

import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.formats import bundle, dsse, oci, referrer
from mpbuild.verify.key_mode import MOST_BUNDLES

LINK = {"_type": "link", "name": "build", "materials": {}, "products": {}, "command": []}
LAYOUT = {"_type": "layout", "steps": [], "inspect": [], "keys": {}, "expires": "2030-01-01"}


def payload(attack, **changes):
    return canonical.encode(attack.statement(**changes))


def document(attack, data=None):
    """The bundle of the right provenance as JSON data, to be changed."""
    return json.loads(data or attack.tiny.key.sign(payload(attack)))


def encoded(data):
    return base64.b64encode(data).decode()


def decoded(text):
    return base64.b64decode(text)


def attach(attack, changed):
    attack.attach(changed if isinstance(changed, bytes) else json.dumps(changed).encode())


def with_predicate(attack, change):
    """The right statement with a changed predicate, really signed."""
    made = attack.statement()
    change(made["predicate"])
    attack.sign(made=made)
    return attack.verify()


# ---- the signature


@pytest.mark.parametrize("what", ["payload", "signature"])
def test_a_flipped_bit_is_an_invalid_signature(unsigned, what):
    """Row 1."""
    changed = document(unsigned)
    envelope = changed["dsseEnvelope"]
    if what == "payload":
        data = bytearray(decoded(envelope["payload"]))
        data[data.index(b"finishedOn") + 15] ^= 1
        envelope["payload"] = encoded(bytes(data))
    else:
        data = bytearray(decoded(envelope["signatures"][0]["sig"]))
        data[-1] ^= 1
        envelope["signatures"][0]["sig"] = encoded(bytes(data))
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("signature-invalid")


def test_the_payload_type_swapped_for_another_is_told_as_that(unsigned):
    """Row 2."""
    changed = document(unsigned)
    changed["dsseEnvelope"]["payloadType"] = "application/json"
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("payload-type")


def test_a_statement_signed_under_another_payload_type_is_none(unsigned):
    """Row 2, the reverse: the signature is good, for something else."""
    data = unsigned.tiny.key.sign(payload(unsigned), "application/json")
    attach(unsigned, data)
    assert unsigned.verify().failed_with("payload-type")


def test_a_signature_under_another_payload_type_is_not_that_of_a_statement(unsigned):
    """Row 2, the reverse, disguised."""
    changed = document(unsigned, unsigned.tiny.key.sign(payload(unsigned), "application/json"))
    changed["dsseEnvelope"]["payloadType"] = dsse.IN_TOTO
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("classic", [LINK, LAYOUT], ids=["link", "layout"])
def test_a_classic_link_or_layout_is_no_statement(unsigned, classic):
    """Row 3."""
    unsigned.sign(made=classic)
    assert unsigned.verify().failed_with("statement-type")


def test_an_envelope_without_signature_is_not_signed(unsigned):
    """Row 4."""
    changed = document(unsigned)
    changed["dsseEnvelope"]["signatures"] = []
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("signature-missing")


def test_an_empty_signature_is_not_signed(unsigned):
    changed = document(unsigned)
    changed["dsseEnvelope"]["signatures"][0]["sig"] = ""
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("signature-missing")


def test_two_signatures_are_one_too_many(unsigned):
    """Row 4."""
    changed = document(unsigned)
    changed["dsseEnvelope"]["signatures"] *= 2
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_doubled_key_in_the_bundle_is_malformed(unsigned):
    """Row 6."""
    text = unsigned.tiny.key.sign(payload(unsigned))
    assert text.startswith(b'{"dsseEnvelope":')
    attach(unsigned, text.replace(b"{", b'{"dsseEnvelope":{},', 1))
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_doubled_key_in_the_statement_is_malformed(unsigned):
    """Row 6."""
    data = payload(unsigned)
    assert data.startswith(b'{"_type":')
    unsigned.sign(made=data.replace(b'{"_type":', b'{"_type":"x","_type":', 1))
    assert unsigned.verify().failed_with("statement-malformed")


def test_a_doubled_key_in_the_predicate_is_malformed(unsigned):
    """Row 6."""
    data = payload(unsigned)
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
    changed = document(unsigned)
    envelope = changed["dsseEnvelope"]
    place = envelope if field == "payload" else envelope["signatures"][0]
    place[field] = LOOSE[how](place[field])
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_base64_with_bits_beyond_its_end_is_malformed(unsigned):
    """Row 7: two texts must not stand for the same bytes."""
    changed = document(unsigned)
    changed["dsseEnvelope"]["payload"] = "eB=="
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_the_valid_signature_of_another_payload_is_invalid_here(unsigned):
    """Row 8."""
    changed = document(unsigned)
    other = document(unsigned, unsigned.tiny.key.sign(payload(unsigned, predicateType="x")))
    changed["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_cut_off_json_is_malformed(unsigned, cut):
    """Row 10."""
    attach(unsigned, unsigned.tiny.key.sign(payload(unsigned))[:cut])
    assert unsigned.verify().failed_with("bundle-malformed")


@pytest.mark.parametrize("size", [50 << 20, 10 << 20, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_without_end_is_malformed_and_found_out_quickly(unsigned, size, opening):
    """Row 10."""
    attach(unsigned, opening * (size // len(opening)))
    started = time.monotonic()
    assert unsigned.verify().failed_with("bundle-malformed")
    assert time.monotonic() - started < 5


def test_a_bundle_that_claims_a_size_of_gigabytes_is_malformed(unsigned):
    """Row 10."""
    digest = unsigned.attach(unsigned.tiny.key.sign(payload(unsigned)))
    manifest = unsigned.document(digest)
    manifest["layers"][0]["size"] = 1 << 30
    swap_referrer(unsigned, manifest)
    assert unsigned.verify().failed_with("bundle-malformed")


def swap_referrer(attack, manifest):
    """List this manifest, and no other, for the package."""
    data = manifest if isinstance(manifest, bytes) else canonical.encode(manifest)
    put = attack.put(data)
    listing = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [{"mediaType": oci.MANIFEST, "artifactType": bundle.MEDIA_TYPE, **put}],
    }
    swap_listing(attack, canonical.encode(listing))


def swap_listing(attack, data):
    put = attack.put(data)
    path = attack.folder / "index.json"
    top = json.loads(path.read_bytes())
    entry = {
        "mediaType": oci.INDEX,
        **put,
        "annotations": {oci.REF_NAME: referrer.tag(attack.digest)},
    }
    top["manifests"] = [top["manifests"][0], entry]
    path.write_bytes(canonical.encode(top))


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
    changed = document(unsigned)
    UNKNOWN[what](changed)
    attach(unsigned, changed)
    assert unsigned.verify().failed_with("bundle-malformed")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"7", b'"x"', b"\xff", b"NaN", b"{}"])
def test_a_bundle_that_is_no_object_is_malformed(unsigned, data):
    attach(unsigned, data)
    assert unsigned.verify().failed_with("bundle-malformed")


def test_a_signature_over_the_raw_payload_is_invalid(unsigned):
    """Row 13."""
    data = payload(unsigned)
    signature = unsigned.tiny.key.signer.sign(data)
    envelope = dsse.Envelope(data, dsse.IN_TOTO, (dsse.Signature(signature),))
    attach(unsigned, bundle.encode(bundle.Bundle(envelope, unsigned.tiny.key.hint)))
    assert unsigned.verify().failed_with("signature-invalid")


def test_a_hundred_thousand_subjects_are_refused_quickly(unsigned):
    """Row 14."""
    made = unsigned.statement()
    made["subject"] *= 50_000
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


# ---- the key


def test_another_key_is_an_unknown_signer(signed):
    """Row 24."""
    answer = signed.verify(key=signed.tiny.other.public)
    assert answer.failed_with("signer-unknown", "provenance-missing")


def test_another_key_with_the_hint_of_the_right_one_is_invalid(unsigned):
    forged = unsigned.tiny.other.envelope(payload(unsigned))
    data = bundle.encode(bundle.Bundle(forged.envelope, unsigned.tiny.key.hint))
    attach(unsigned, data)
    assert unsigned.verify().failed_with("signature-invalid")


@pytest.mark.parametrize("hint", ["", "whatever", "\x1b[2J"])
def test_a_foreign_hint_does_not_matter_where_the_key_is_the_right_one(unsigned, hint):
    made = unsigned.tiny.key.envelope(payload(unsigned))
    attach(unsigned, bundle.encode(bundle.Bundle(made.envelope, hint)))
    assert unsigned.verify().passed


def test_a_bundle_with_a_certificate_is_not_for_a_key(unsigned):
    """Row 24."""
    changed = document(unsigned)
    changed["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    attach(unsigned, changed)
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


# ---- the statement


def test_a_statement_about_another_artifact_does_not_match(unsigned):
    """Row 41."""
    other = [{"name": "tiny", "digest": {"sha256": "0" * 64}}]
    unsigned.sign(made=unsigned.statement(subject=other))
    assert unsigned.verify().failed_with("subject-mismatch")


SUBJECTS = {
    "none": [],
    "no list": {},
    "no digest": [{"name": "tiny"}],
    "no sha256": [{"name": "tiny", "digest": {"sha512": "00"}}],
    "short": [{"name": "tiny", "digest": {"sha256": "0" * 63}}],
    "long": [{"name": "tiny", "digest": {"sha256": "0" * 65}}],
    "no hex": [{"name": "tiny", "digest": {"sha256": "g" * 64}}],
    "a number": [{"name": "tiny", "digest": {"sha256": 7}}],
    "other digits": [{"name": "tiny", "digest": {"sha256": "\u0660" * 64}}],
    "a newline": [{"name": "tiny", "digest": {"sha256": "0" * 64 + "\n"}}],
    "a text": ["tiny"],
    "a name that is none": [{"name": 7, "digest": {"sha256": "0" * 64}}],
}


@pytest.mark.parametrize("what", SUBJECTS)
def test_a_subject_without_a_proper_sha256_is_malformed(unsigned, what):
    """Row 42."""
    unsigned.sign(made=unsigned.statement(subject=SUBJECTS[what]))
    assert unsigned.verify().failed_with("statement-malformed")


def test_an_upper_case_digest_is_malformed(unsigned):
    """Row 42."""
    subject = [{"name": "tiny", "digest": {"sha256": unsigned.digest.hex.upper()}}]
    unsigned.sign(made=unsigned.statement(subject=subject))
    assert unsigned.verify().failed_with("statement-malformed")


def test_many_subjects_with_the_match_in_the_last_pass(unsigned):
    """Row 43."""
    others = [{"name": str(n), "digest": {"sha256": f"{n:064x}"}} for n in range(500)]
    (index, *_) = unsigned.statement()["subject"]
    unsigned.sign(made=unsigned.statement(subject=[*others, index]))
    assert unsigned.verify().passed


def test_the_right_digest_under_another_name_passes(unsigned):
    """Row 46."""
    subject = [{"name": "something-else", "digest": {"sha256": unsigned.digest.hex}}]
    unsigned.sign(made=unsigned.statement(subject=subject))
    assert unsigned.verify().passed


def test_an_sbom_offered_as_provenance_is_none(unsigned):
    """Row 44."""
    made = unsigned.statement(predicateType="https://cyclonedx.org/bom")
    unsigned.sign(made=made)
    assert unsigned.verify().failed_with("provenance-missing")


def test_a_predicate_of_an_older_version_is_told_as_that(unsigned):
    """Row 74."""
    unsigned.sign(made=unsigned.statement(predicateType="https://slsa.dev/provenance/v0.2"))
    assert unsigned.verify().failed_with("predicate-type", "provenance-missing")


@pytest.mark.parametrize(
    "kind", ["https://in-toto.io/Statement/v0.1", "", None, 7, "https://in-toto.io/Statement/v1 "]
)
def test_another_type_of_statement_is_refused(unsigned, kind):
    """Row 45."""
    unsigned.sign(made=unsigned.statement(_type=kind))
    assert unsigned.verify().failed_with("statement-type")


MALFORMED = {
    "an unknown field": {"more": 1},
    "no predicate type": {"predicateType": ""},
    "a predicate type that is none": {"predicateType": 7},
    "no predicate": {"predicate": None},
    "a predicate that is a list": {"predicate": []},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_statement_of_another_form_is_malformed(unsigned, what):
    unsigned.sign(made=unsigned.statement(**MALFORMED[what]))
    assert unsigned.verify().failed_with("statement-malformed")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff"])
def test_a_payload_that_is_no_statement_is_malformed(unsigned, data):
    attach(unsigned, unsigned.tiny.key.sign(data))
    assert unsigned.verify().failed_with("statement-malformed")


def test_evidence_for_an_image_does_not_speak_for_the_index(unsigned):
    """Row 80."""
    unsigned.sign(made=unsigned.statement(subject=unsigned.statement()["subject"][1:]))
    assert unsigned.verify().failed_with("subject-mismatch")


def test_a_bundle_that_is_attached_to_an_image_alone_is_missing(unsigned):
    """Row 81."""
    image = Digest(unsigned.index["manifests"][0]["digest"])
    unsigned.attach(unsigned.tiny.key.sign(payload(unsigned)), image)
    assert unsigned.verify().failed_with("provenance-missing")


# ---- the provenance


def dependencies(predicate):
    return predicate["buildDefinition"]["resolvedDependencies"]


PREDICATES = {
    "no build definition": lambda p: p.pop("buildDefinition"),
    "no run details": lambda p: p.pop("runDetails"),
    "an unknown key": lambda p: p.update(more=1),
    "an unknown key of the definition": lambda p: p["buildDefinition"].update(more=1),
    "no builder": lambda p: p["runDetails"].pop("builder"),
    "a builder without id": lambda p: p["runDetails"]["builder"].pop("id"),
    "a builder whose id is a list": lambda p: p["runDetails"]["builder"].update(id=["x"]),
    "dependencies that are no list": lambda p: p["buildDefinition"].update(resolvedDependencies={}),
    "a dependency that is a text": lambda p: dependencies(p).append("x"),
    "a digest that is short": lambda p: dependencies(p).append({"digest": {"sha256": "00"}}),
    "a digest that is a number": lambda p: dependencies(p).append({"digest": {"sha256": 7}}),
    "another build type": lambda p: p["buildDefinition"].update(buildType="urn:other"),
    "no label": lambda p: p["buildDefinition"]["externalParameters"].pop("label"),
    "accelerators that are none": lambda p: p["buildDefinition"]["externalParameters"].update(
        accelerators=7
    ),
}


@pytest.mark.parametrize("what", PREDICATES)
def test_a_provenance_that_breaks_its_schema_is_malformed(unsigned, what):
    """Row 94."""
    assert with_predicate(unsigned, PREDICATES[what]).failed_with("predicate-malformed")


def test_a_builder_with_an_empty_id_is_not_allowed(unsigned):
    """Row 47."""
    answer = with_predicate(unsigned, lambda p: p["runDetails"]["builder"].update(id=""))
    assert answer.failed_with("builder-not-allowed")


def test_an_unknown_external_parameter_is_refused(unsigned):
    """Row 51."""
    answer = with_predicate(
        unsigned, lambda p: p["buildDefinition"]["externalParameters"].update(debug=True)
    )
    assert answer.failed_with("parameter-unknown")


@pytest.mark.parametrize("kind", ["wheel", "debian", "lock", "source", "runtime", "spec"])
def test_a_provenance_without_something_that_the_package_is_made_of_is_incomplete(unsigned, kind):
    """Row 53."""

    def without(predicate):
        found = dependencies(predicate)
        found.remove(next(one for one in found if one["annotations"].get("kind") == kind))

    assert with_predicate(unsigned, without).failed_with("dependencies-incomplete")


def test_a_dependency_without_a_digest_is_incomplete(unsigned):
    """Row 53."""
    answer = with_predicate(unsigned, lambda p: dependencies(p).append({"name": "x"}))
    assert answer.failed_with("dependencies-incomplete")


def test_a_wheel_that_is_named_with_another_digest_is_incomplete(unsigned):
    """Row 53."""

    def renamed(predicate):
        found = next(d for d in dependencies(predicate) if d["name"].endswith(".whl"))
        found["digest"] = {"sha512": "00"}

    assert with_predicate(unsigned, renamed).failed_with("dependencies-incomplete")


def test_a_digest_that_is_named_as_something_else_does_not_count(unsigned):
    """Training data may be anything; that does not make it code."""

    def relabelled(predicate):
        for one in dependencies(predicate):
            if one["annotations"].get("kind") == "source":
                one["annotations"]["kind"] = "step-input"

    assert with_predicate(unsigned, relabelled).failed_with("dependencies-incomplete")


def test_a_lock_that_differs_from_the_provenance_is_a_lock_mismatch(unsigned):
    """Row 95."""

    def other_lock(predicate):
        found = next(d for d in dependencies(predicate) if d["name"] == "pylock.cpu.toml")
        found["digest"] = {"sha256": "0" * 64}

    answer = with_predicate(unsigned, other_lock)
    assert answer.failed_with("lock-mismatch")
    assert "pylock.cpu.toml" in answer.told("lock-mismatch")


def test_equal_files_of_two_kinds_are_each_named(unsigned):
    """One digest may stand for a lock and for something else after it."""

    def doubled(predicate):
        found = next(d for d in dependencies(predicate) if d["name"] == "pylock.cpu.toml")
        other = {**found, "name": "copy.toml", "annotations": {"kind": "step-input"}}
        dependencies(predicate).append(other)

    assert with_predicate(unsigned, doubled).passed


def test_what_is_not_hermetic_passes_and_is_told(unsigned):
    answer = with_predicate(
        unsigned, lambda p: p["buildDefinition"]["internalParameters"].update(hermetic=False)
    )
    assert answer.passed
    assert answer.json["evidence"][0]["hermetic"] is False


@pytest.mark.parametrize("claim", ["true", 1, None])
def test_only_true_claims_to_be_hermetic(unsigned, claim):
    answer = with_predicate(
        unsigned, lambda p: p["buildDefinition"]["internalParameters"].update(hermetic=claim)
    )
    assert answer.json["evidence"][0]["hermetic"] is False


# ---- several


def listed_in_both_orders(attack):
    """The verdict on the package with the listing as it is, and turned round."""
    yield attack.verify()
    entry = attack.layout.tagged(referrer.tag(attack.digest))
    listing = attack.document(entry.digest)
    listing["manifests"].reverse()
    swap_listing(attack, canonical.encode(listing))
    yield attack.verify()


def test_a_second_provenance_of_the_same_build_changes_nothing(unsigned):
    unsigned.sign()
    unsigned.sign()
    verdicts = list(listed_in_both_orders(unsigned))
    assert all(verdict.passed for verdict in verdicts)
    assert [e["used"] for e in verdicts[0].json["evidence"]].count(True) == 1


@pytest.mark.parametrize("kept", ["wheel", "source"])
def test_of_two_provenances_the_complete_one_counts_in_any_order(unsigned, kept):
    """Signing adds and never replaces: an older, incomplete statement must not stand in the way."""
    unsigned.sign()
    for number in range(4):
        made = unsigned.statement()
        found = dependencies(made["predicate"])
        found.remove(next(one for one in found if one["annotations"].get("kind") == kept))
        made["predicate"]["runDetails"]["metadata"]["invocationId"] = str(number)
        unsigned.sign(made=made)
    for verdict in listed_in_both_orders(unsigned):
        assert verdict.passed


def test_which_of_two_provenances_counts_does_not_depend_on_their_order(unsigned):
    for builder in ("urn:builder:one", "urn:builder:two"):
        made = unsigned.statement()
        made["predicate"]["runDetails"]["builder"]["id"] = builder
        unsigned.sign(made=made)
    first, second = listed_in_both_orders(unsigned)

    def used(verdict):
        return {e["builder"] for e in verdict.json["evidence"] if e["used"]}

    assert first.passed
    assert second.passed
    assert used(first) == used(second)


def test_a_hermetic_provenance_goes_before_one_that_is_not(unsigned):
    for number in range(4):
        made = unsigned.statement()
        made["predicate"]["buildDefinition"]["internalParameters"]["hermetic"] = number == 2
        made["predicate"]["runDetails"]["metadata"]["invocationId"] = str(number)
        unsigned.sign(made=made)
    for verdict in listed_in_both_orders(unsigned):
        assert [e["hermetic"] for e in verdict.json["evidence"] if e["used"]] == [True]


def test_another_good_statement_by_the_key_is_evidence_that_is_not_used(signed):
    signed.sign(made=signed.statement(predicateType="https://cyclonedx.org/bom"))
    answer = signed.verify()
    assert answer.passed
    assert answer.json["findings"] == []
    assert {e["predicateType"]: e["used"] for e in answer.json["evidence"]} == {
        "https://slsa.dev/provenance/v1": True,
        "https://cyclonedx.org/bom": False,
    }


# ---- strangers beside the right one


STRANGERS = {
    "by another key": lambda attack: attack.tiny.other.sign(payload(attack)),
    "broken": lambda attack: b"{",
    "empty": lambda attack: b"",
    "of another subject": lambda attack: attack.tiny.key.sign(
        payload(attack, subject=[{"name": "x", "digest": {"sha256": "0" * 64}}])
    ),
    "with a flipped bit": lambda attack: attack.tiny.key.sign(payload(attack)).replace(
        b'"payload":"ey', b'"payload":"fy'
    ),
    "of another payload type": lambda attack: attack.tiny.key.sign(b"x", "text/plain"),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_strange_bundle_beside_the_good_one_is_a_note(signed, what):
    """Row 72: anyone can attach something to a package."""
    signed.attach(STRANGERS[what](signed))
    for answer in listed_in_both_orders(signed):
        assert answer.passed
        assert answer.notes == {"referrer-foreign"}


def reattached(attack, manifest):
    """List a strange manifest beside the good one."""
    entry = attack.layout.tagged(referrer.tag(attack.digest))
    listing = attack.document(entry.digest)
    data = manifest if isinstance(manifest, bytes) else canonical.encode(manifest)
    listing["manifests"].append({"mediaType": oci.MANIFEST, **attack.put(data)})
    swap_listing(attack, canonical.encode(listing))


MANIFESTS = {
    "no JSON": lambda attack, good: b"{",
    "another artifact": lambda attack, good: {**good, "artifactType": "application/x-notes"},
    "another subject": lambda attack, good: {
        **good,
        "subject": {**good["subject"], "digest": f"sha256:{'0' * 64}"},
    },
    "no subject": lambda attack, good: {k: v for k, v in good.items() if k != "subject"},
    "two layers": lambda attack, good: {**good, "layers": good["layers"] * 2},
    "no layer": lambda attack, good: {**good, "layers": []},
    "a layer of another type": lambda attack, good: {
        **good,
        "layers": [{**good["layers"][0], "mediaType": "text/plain"}],
    },
    "an index": lambda attack, good: {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []},
    "a list": lambda attack, good: [],
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_strange_referrer_beside_the_good_one_is_a_note(signed, what):
    """Row 72."""
    entry = signed.layout.tagged(referrer.tag(signed.digest))
    good = signed.document(signed.document(entry.digest)["manifests"][0]["digest"])
    reattached(signed, MANIFESTS[what](signed, good))
    answer = signed.verify()
    assert answer.passed
    assert answer.notes == {"referrer-foreign"}


def test_an_artifact_of_another_kind_alone_is_no_signature(unsigned):
    unsigned.sign()
    entry = unsigned.layout.tagged(referrer.tag(unsigned.digest))
    good = unsigned.document(unsigned.document(entry.digest)["manifests"][0]["digest"])
    swap_referrer(unsigned, {**good, "artifactType": "application/x-notes"})
    answer = unsigned.verify()
    assert answer.failed_with("signature-missing")
    assert answer.notes == {"referrer-foreign"}


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"manifests":[7]}', b'{"manifests":[{}]}'])
def test_a_listing_that_is_none_is_malformed(signed, data):
    swap_listing(signed, data)
    assert signed.verify().failed_with("bundle-malformed")


def test_a_referrer_that_is_listed_a_thousand_times_is_read_once(signed):
    entry = signed.layout.tagged(referrer.tag(signed.digest))
    listing = signed.document(entry.digest)
    listing["manifests"] *= 1000
    swap_listing(signed, canonical.encode(listing))
    started = time.monotonic()
    assert signed.verify().passed
    assert time.monotonic() - started < 10


def test_hundreds_of_referrers_are_refused_whatever_their_order(signed):
    """Which of them would be looked at could depend on who lists them."""
    entry = signed.layout.tagged(referrer.tag(signed.digest))
    listing = signed.document(entry.digest)
    good = signed.document(listing["manifests"][0]["digest"])
    for number in range(MOST_BUNDLES + 44):
        data = canonical.encode({**good, "annotations": {"n": str(number)}})
        listing["manifests"].append({"mediaType": oci.MANIFEST, **signed.put(data)})
    swap_listing(signed, canonical.encode(listing))
    started = time.monotonic()
    for answer in listed_in_both_orders(signed):
        assert answer.failed_with("bundle-malformed")
        assert not answer.json["evidence"]
    assert time.monotonic() - started < 10


def test_megabytes_of_referrers_are_refused_whatever_their_order(signed):
    entry = signed.layout.tagged(referrer.tag(signed.digest))
    listing = signed.document(entry.digest)
    good = signed.document(listing["manifests"][0]["digest"])
    large = {"mediaType": bundle.MEDIA_TYPE, **signed.put(b" " * bundle.LARGEST)}
    for number in range(5):
        changed = {**good, "layers": [large], "annotations": {"n": str(number)}}
        data = canonical.encode(changed)
        listing["manifests"].append({"mediaType": oci.MANIFEST, **signed.put(data)})
    swap_listing(signed, canonical.encode(listing))
    for answer in listed_in_both_orders(signed):
        assert answer.failed_with("bundle-malformed")
        assert not answer.json["evidence"]


def test_what_a_stranger_writes_reaches_no_terminal(unsigned):
    changed = document(unsigned)
    changed["\x1b[2J\rPASSED" * 1000] = 1
    attach(unsigned, changed)
    answer = unsigned.verify()
    assert answer.failed_with("bundle-malformed")
    told = answer.told("bundle-malformed")
    assert told.isprintable()
    assert len(told) < 400
