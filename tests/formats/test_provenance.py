"""The part of SLSA provenance that is read."""

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence.provenance import BUILD_TYPE, read_provenance

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def predicate(*dependencies, **internal):
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"label": "//x", "accelerators": ["cpu"]},
            "internalParameters": internal,
            "resolvedDependencies": list(dependencies),
        },
        "runDetails": {"builder": {"id": "urn:x"}},
    }


def resource(name, digest, kind):
    return {"name": name, "digest": {"sha256": digest.hex}, "annotations": {"kind": kind}}


def test_what_was_resolved_is_known_by_kind_and_digest():
    found = read_provenance(predicate(resource("a", ONE, "lock"), resource("b", TWO, "wheel")))
    assert found.resolved == {("lock", ONE), ("wheel", TWO)}
    assert found.of_kind("lock") == {"a": ONE}


def test_one_digest_under_two_names_keeps_both():
    found = read_provenance(predicate(resource("a", ONE, "lock"), resource("b", ONE, "lock")))
    assert found.of_kind("lock") == {"a": ONE, "b": ONE}


def test_a_commit_is_no_digest_of_bytes():
    source = {"name": "workspace", "digest": {"gitCommit": "0" * 40}}
    assert read_provenance(predicate(source)).resolved == frozenset()


def test_other_fields_of_the_specification_are_let_pass():
    """ResourceDescriptor and runDetails have more than we use."""
    full = {**resource("a", ONE, "lock"), "uri": "x", "mediaType": "y", "downloadLocation": "z"}
    made = predicate(full)
    made["runDetails"]["byproducts"] = []
    made["runDetails"]["builder"]["builderDependencies"] = []
    made["runDetails"]["metadata"] = {"invocationId": "i", "startedOn": "s", "finishedOn": "f"}
    found = read_provenance(made)
    assert found.run_details.metadata.invocation_id == "i"


@pytest.mark.parametrize(("claim", "hermetic"), [(True, True), (False, False), ("true", False)])
def test_hermetic_is_what_is_claimed_in_so_many_words(claim, hermetic):
    assert read_provenance(predicate(hermetic=claim)).hermetic is hermetic


def test_nothing_claimed_is_not_hermetic():
    assert read_provenance(predicate()).hermetic is False


@pytest.mark.parametrize("digest", ["", "00", ONE.hex.upper(), f"sha256:{ONE.hex}", ONE.hex + "\n"])
def test_a_sha256_of_another_form_is_malformed(digest):
    with pytest.raises(InputError) as caught:
        read_provenance(predicate({"name": "x", "digest": {"sha256": digest}}))
    assert caught.value.findings[0].code == "predicate-malformed"


@pytest.mark.parametrize("made", [{}, {"buildDefinition": 1}, {**predicate(), "more": 1}])
def test_another_form_is_malformed(made):
    with pytest.raises(InputError) as caught:
        read_provenance(made)
    assert caught.value.findings[0].code == "predicate-malformed"
