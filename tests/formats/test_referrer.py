"""Referrers: how a bundle is attached, and the listing of what is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import limits
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle
from mpbuild.formats.oci import oci, referrer

SUBJECT = oci.descriptor(oci.INDEX, b"{}", annotations={"a": "b"})
GOOD = referrer.attach(SUBJECT, b"bundle", "https://example.org/type")


def refused(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    (finding,) = caught.value.findings
    assert finding.code == "bundle-malformed"
    return finding.message


def test_a_bundle_is_attached_as_cosign_attaches_it():
    made = json.loads(referrer.encode(GOOD))
    assert made["artifactType"] == made["layers"][0]["mediaType"] == bundle.MEDIA_TYPE
    assert made["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert made["subject"] == {
        "mediaType": oci.INDEX,
        "digest": SUBJECT.digest,
        "size": SUBJECT.size,
    }
    assert made["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://example.org/type",
        "org.opencontainers.image.created": "1980-01-01T00:00:00Z",
    }


def test_what_is_written_is_read():
    assert referrer.read(referrer.encode(GOOD)) == GOOD
    assert GOOD.bundle.digest == Digest.of(b"bundle")


def test_the_fallback_tag_is_that_of_the_specification():
    assert referrer.tag(SUBJECT.digest) == f"sha256-{SUBJECT.digest.hex}"


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": 1},
        {"mediaType": oci.INDEX},
        {"subject": None},
        {"more": 1},
        {"layers": None},
        {"artifactType": 7},
    ],
)
def test_another_kind_of_manifest_is_refused(changes):
    made = json.loads(referrer.encode(GOOD)) | changes
    refused(referrer.read, json.dumps(made).encode())


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_by_their_code(data):
    refused(referrer.read, data)
    refused(referrer.read_listing, data)
    refused(referrer.listing, GOOD, data)


@pytest.mark.parametrize("size", [-1, limits.BUNDLE_BYTES + 1, 1 << 50])
def test_a_bundle_of_an_impossible_size_is_refused_before_it_is_read(size):
    made = json.loads(referrer.encode(GOOD))
    made["layers"][0]["size"] = size
    found = referrer.read(json.dumps(made).encode())
    assert str(size) in refused(lambda: found.bundle)


@pytest.mark.parametrize("count", [0, 2])
def test_anything_but_one_bundle_is_unclear(count):
    made = json.loads(referrer.encode(GOOD))
    made["layers"] *= count
    assert f"{count} layers" in refused(lambda: referrer.read(json.dumps(made).encode()).bundle)


def test_a_listing_repeats_type_and_annotations():
    (entry,) = json.loads(referrer.listing(GOOD, None))["manifests"]
    data = referrer.encode(GOOD)
    assert entry == {
        "mediaType": oci.MANIFEST,
        "digest": Digest.of(data),
        "size": len(data),
        "artifactType": bundle.MEDIA_TYPE,
        "annotations": GOOD.annotations,
    }


def test_a_listing_grows_in_any_order_to_the_same_bytes():
    others = [referrer.attach(SUBJECT, bytes([n]), "t") for n in range(4)]
    forth, back = None, None
    for one in others:
        forth = referrer.listing(one, forth)
    for one in reversed(others):
        back = referrer.listing(one, back)
    assert forth == back
    assert len(referrer.read_listing(forth)) == 4
    assert referrer.listing(others[0], forth) == forth


def test_what_is_listed_twice_is_read_once():
    entry = {"digest": SUBJECT.digest, "size": 1}
    data = json.dumps({"manifests": [entry, entry]}).encode()
    (found,) = referrer.read_listing(data)
    assert found == referrer.ReferrerDescriptor(digest=SUBJECT.digest, size=1)


def test_entries_of_others_stay_as_they_are():
    stranger = {"mediaType": "x/y", "digest": SUBJECT.digest, "size": 2, "x-more": {"a": 1}}
    known = json.dumps({"manifests": [stranger]}).encode()
    assert stranger in json.loads(referrer.listing(GOOD, known))["manifests"]
