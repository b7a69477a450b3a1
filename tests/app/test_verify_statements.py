"""Statements: about this package, of the right type, naming all that it is made of."""

import pytest

from mpbuild.base.digest import Digest


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


def test_a_predicate_of_an_older_version_is_reported_as_that(unsigned):
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
    unsigned.attach(unsigned.tiny.key.sign(data))
    assert unsigned.verify().failed_with("statement-malformed")


def test_evidence_for_an_image_does_not_speak_for_the_index(unsigned):
    """Row 80."""
    unsigned.sign(made=unsigned.statement(subject=unsigned.statement()["subject"][1:]))
    assert unsigned.verify().failed_with("subject-mismatch")


def test_a_bundle_that_is_attached_to_an_image_alone_is_missing(unsigned):
    """Row 81."""
    image = Digest(unsigned.index["manifests"][0]["digest"])
    unsigned.attach(unsigned.tiny.key.sign(unsigned.payload()), image)
    assert unsigned.verify().failed_with("provenance-missing")


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
    assert unsigned.with_predicate(PREDICATES[what]).failed_with("predicate-malformed")


def test_a_builder_with_an_empty_id_is_not_allowed(unsigned):
    """Row 47."""
    answer = unsigned.with_predicate(lambda p: p["runDetails"]["builder"].update(id=""))
    assert answer.failed_with("builder-not-allowed")


def test_an_unknown_external_parameter_is_refused(unsigned):
    """Row 51."""
    answer = unsigned.with_predicate(
        lambda p: p["buildDefinition"]["externalParameters"].update(debug=True)
    )
    assert answer.failed_with("parameter-unknown")


@pytest.mark.parametrize("kind", ["wheel", "debian", "lock", "source", "runtime", "spec"])
def test_a_provenance_without_something_that_the_package_is_made_of_is_incomplete(unsigned, kind):
    """Row 53."""

    def without(predicate):
        found = dependencies(predicate)
        found.remove(next(one for one in found if one["annotations"].get("kind") == kind))

    assert unsigned.with_predicate(without).failed_with("dependencies-incomplete")


def test_a_dependency_without_a_digest_is_incomplete(unsigned):
    """Row 53."""
    answer = unsigned.with_predicate(lambda p: dependencies(p).append({"name": "x"}))
    assert answer.failed_with("dependencies-incomplete")


def test_a_wheel_that_is_named_with_another_digest_is_incomplete(unsigned):
    """Row 53."""

    def renamed(predicate):
        found = next(d for d in dependencies(predicate) if d["name"].endswith(".whl"))
        found["digest"] = {"sha512": "00"}

    assert unsigned.with_predicate(renamed).failed_with("dependencies-incomplete")


def test_a_digest_that_is_named_as_something_else_does_not_count(unsigned):
    """Training data may be anything; that does not make it code."""

    def relabelled(predicate):
        for one in dependencies(predicate):
            if one["annotations"].get("kind") == "source":
                one["annotations"]["kind"] = "step-input"

    assert unsigned.with_predicate(relabelled).failed_with("dependencies-incomplete")


def test_a_lock_that_differs_from_the_provenance_is_a_lock_mismatch(unsigned):
    """Row 95."""

    def other_lock(predicate):
        found = next(d for d in dependencies(predicate) if d["name"] == "pylock.cpu.toml")
        found["digest"] = {"sha256": "0" * 64}

    answer = unsigned.with_predicate(other_lock)
    assert answer.failed_with("lock-mismatch")
    assert "pylock.cpu.toml" in answer.told("lock-mismatch")


def test_equal_files_of_two_kinds_are_each_named(unsigned):
    """One digest may stand for a lock and for something else after it."""

    def doubled(predicate):
        found = next(d for d in dependencies(predicate) if d["name"] == "pylock.cpu.toml")
        other = {**found, "name": "copy.toml", "annotations": {"kind": "step-input"}}
        dependencies(predicate).append(other)

    assert unsigned.with_predicate(doubled).passed


def test_what_is_not_hermetic_passes_and_is_reported(unsigned):
    answer = unsigned.with_predicate(
        lambda p: p["buildDefinition"]["internalParameters"].update(hermetic=False)
    )
    assert answer.passed
    assert answer.json["evidence"][0]["hermetic"] is False


@pytest.mark.parametrize("claim", ["true", 1, None])
def test_only_true_claims_to_be_hermetic(unsigned, claim):
    answer = unsigned.with_predicate(
        lambda p: p["buildDefinition"]["internalParameters"].update(hermetic=claim)
    )
    assert answer.json["evidence"][0]["hermetic"] is False
