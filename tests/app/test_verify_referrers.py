"""Several things attached to a package: the right one counts, whatever stands beside it."""

import time

import pytest

from mpbuild.base import limits
from mpbuild.formats.evidence import bundle
from mpbuild.formats.oci import oci


def test_a_second_provenance_of_the_same_build_changes_nothing(unsigned):
    unsigned.sign()
    unsigned.sign()
    verdicts = list(unsigned.verify_both_ways())
    assert all(verdict.passed for verdict in verdicts)
    assert [e["used"] for e in verdicts[0].json["evidence"]].count(True) == 1


@pytest.mark.parametrize("kept", ["wheel", "source"])
def test_of_two_provenances_the_complete_one_counts_in_any_order(unsigned, kept):
    """Signing adds and never replaces: an older, incomplete statement must not stand in the way."""
    unsigned.sign()
    for number in range(4):
        made = unsigned.statement()
        found = made["predicate"]["buildDefinition"]["resolvedDependencies"]
        found.remove(next(one for one in found if one["annotations"].get("kind") == kept))
        made["predicate"]["runDetails"]["metadata"]["invocationId"] = str(number)
        unsigned.sign(made=made)
    for verdict in unsigned.verify_both_ways():
        assert verdict.passed


def test_which_of_two_provenances_counts_does_not_depend_on_their_order(unsigned):
    for builder in ("urn:builder:one", "urn:builder:two"):
        made = unsigned.statement()
        made["predicate"]["runDetails"]["builder"]["id"] = builder
        unsigned.sign(made=made)
    first, second = unsigned.verify_both_ways()

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
    for verdict in unsigned.verify_both_ways():
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


STRANGERS = {
    "by another key": lambda attack: attack.tiny.other.sign(attack.payload()),
    "broken": lambda attack: b"{",
    "empty": lambda attack: b"",
    "of another subject": lambda attack: attack.tiny.key.sign(
        attack.payload(subject=[{"name": "x", "digest": {"sha256": "0" * 64}}])
    ),
    "with a flipped bit": lambda attack: attack.tiny.key.sign(attack.payload()).replace(
        b'"payload":"ey', b'"payload":"fy'
    ),
    "of another payload type": lambda attack: attack.tiny.key.sign(b"x", "text/plain"),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_strange_bundle_beside_the_good_one_is_a_note(signed, what):
    """Row 72: anyone can attach something to a package."""
    signed.attach(STRANGERS[what](signed))
    for answer in signed.verify_both_ways():
        assert answer.passed
        assert answer.notes == {"referrer-foreign"}


def reattached(attack, manifest):
    """List a strange manifest beside the good one."""
    listing = attack.listing
    listing["manifests"].append(attack.listed(manifest))
    attack.set_listing(listing)


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
    good = signed.provenance
    reattached(signed, MANIFESTS[what](signed, good))
    answer = signed.verify()
    assert answer.passed
    assert answer.notes == {"referrer-foreign"}


def test_an_artifact_of_another_kind_alone_is_no_signature(unsigned):
    unsigned.sign()
    good = unsigned.provenance
    strange = unsigned.listed({**good, "artifactType": "application/x-notes"})
    unsigned.set_listing({"manifests": [strange]})
    answer = unsigned.verify()
    assert answer.failed_with("signature-missing")
    assert answer.notes == {"referrer-foreign"}


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"manifests":[7]}', b'{"manifests":[{}]}'])
def test_a_listing_that_is_none_is_malformed(signed, data):
    signed.set_listing(data)
    assert signed.verify().failed_with("bundle-malformed")


def test_a_referrer_that_is_listed_a_thousand_times_is_read_once(signed):
    listing = signed.listing
    listing["manifests"] *= 1000
    signed.set_listing(listing)
    started = time.monotonic()
    assert signed.verify().passed
    assert time.monotonic() - started < 10


def test_hundreds_of_referrers_are_refused_whatever_their_order(signed):
    """Which of them would be looked at could depend on who lists them."""
    listing = signed.listing
    good = signed.provenance
    for number in range(limits.BUNDLES + 44):
        listing["manifests"].append(signed.listed({**good, "annotations": {"n": str(number)}}))
    signed.set_listing(listing)
    started = time.monotonic()
    for answer in signed.verify_both_ways():
        assert answer.failed_with("bundle-malformed")
        assert not answer.json["evidence"]
    assert time.monotonic() - started < 10


def test_megabytes_of_referrers_are_refused_whatever_their_order(signed):
    listing = signed.listing
    good = signed.provenance
    large = {"mediaType": bundle.MEDIA_TYPE, **signed.put(b" " * limits.BUNDLE_BYTES)}
    for number in range(5):
        changed = {**good, "layers": [large], "annotations": {"n": str(number)}}
        listing["manifests"].append(signed.listed(changed))
    signed.set_listing(listing)
    for answer in signed.verify_both_ways():
        assert answer.failed_with("bundle-malformed")
        assert not answer.json["evidence"]


def test_what_a_stranger_writes_reaches_no_terminal(unsigned):
    changed = unsigned.bundle()
    changed["\x1b[2J\rPASSED" * 1000] = 1
    unsigned.attach_changed(changed)
    answer = unsigned.verify()
    assert answer.failed_with("bundle-malformed")
    told = answer.told("bundle-malformed")
    assert told.isprintable()
    assert len(told) < 400
