"""Which of the attached statements counts: pure, over bytes signed here."""

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import limits
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle, dsse, statement
from mpbuild.formats.evidence.provenance import BUILD_TYPE
from mpbuild.formats.evidence.statement import PROVENANCE, Statement, Subject
from mpbuild.verify.choose import AttachedBundle, choose, examine
from mpbuild.verify.completeness import PackagePart
from mpbuild.verify.key_verifier import KeyVerifier, read_public_key

PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = read_public_key(
    PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ),
    where="",
)
INDEX = Digest.of(b"index")
SPEC = PackagePart("spec", "spec.json", Digest.of(b"spec"))
LOCK = PackagePart("lock", "pylock.cpu.toml", Digest.of(b"lock"))
STRANGER = PackagePart("source", "x.py", Digest.of(b"evil"))


def signed(*parts, subject=INDEX, kind=PROVENANCE, hermetic=True, builder="urn:x"):
    """A bundle with a provenance that names ``parts``."""
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"label": "//x", "accelerators": ["cpu"]},
            "internalParameters": {"hermetic": hermetic},
            "resolvedDependencies": [
                {"name": n, "digest": {"sha256": d.hex}, "annotations": {"kind": k}}
                for k, n, d in parts
            ],
        },
        "runDetails": {"builder": {"id": builder}},
    }
    payload = statement.encode(Statement((Subject("x", subject),), kind, predicate))
    sig = PRIVATE.sign(dsse.pae(dsse.IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    envelope = dsse.Envelope(payload, dsse.IN_TOTO, (dsse.Signature(sig),))
    return bundle.encode(bundle.Bundle(envelope, KEY.hint))


def judged(*bundles, needed=(SPEC, LOCK)):
    found = [AttachedBundle(f"referrer {n}", data) for n, data in enumerate(bundles)]
    return choose(examine(found, KeyVerifier([KEY]), INDEX), needed)


def codes(accepted):
    return [finding.code for finding in accepted.findings if finding.severity == "error"]


def test_one_that_names_everything_is_accepted():
    accepted = judged(signed(SPEC, LOCK))
    assert accepted.findings == ()
    assert accepted.signer == KEY.fingerprint
    assert accepted.provenance.run_details.builder.id == "urn:x"


def test_nothing_attached_is_nothing_signed():
    accepted = judged()
    assert codes(accepted) == ["signature-missing", "provenance-missing"]
    assert accepted.provenance is None
    assert accepted.signer == ""


def test_what_cannot_be_read_is_told_where_it_was_found():
    accepted = judged(InputError("gone", code="content-missing"))
    assert accepted.findings[0].where == "referrer 0"
    assert "content-missing" in codes(accepted)
    assert "signature-missing" in codes(accepted)


def test_faults_beside_a_good_one_are_notes_that_keep_their_code_in_words():
    accepted = judged(b"{", signed(SPEC, LOCK), InputError("gone", code="content-missing"))
    assert codes(accepted) == []
    assert {finding.code for finding in accepted.findings} == {"referrer-foreign"}
    assert "(bundle-malformed)" in accepted.findings[0].message
    assert "(content-missing)" in accepted.findings[1].message


def test_a_lock_with_another_digest_is_reported_as_that():
    other = LOCK._replace(digest=Digest.of(b"other"))
    assert codes(judged(signed(SPEC, other))) == ["lock-mismatch"]


def test_a_part_under_another_name_is_named():
    assert codes(judged(signed(SPEC._replace(name="x"), LOCK))) == []


def test_a_part_of_another_kind_is_not_named():
    assert codes(judged(signed(SPEC._replace(kind="step-input"), LOCK))) == [
        "dependencies-incomplete"
    ]


def test_an_unnamed_part_is_reported_by_kind_name_and_digest():
    (finding,) = judged(signed(SPEC, LOCK), needed=(SPEC, LOCK, STRANGER)).findings
    assert finding.code == "dependencies-incomplete"
    assert finding.where == "x.py"
    assert STRANGER.digest in finding.message


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_the_bundles_never_matters(order):
    several = [
        signed(SPEC),
        signed(SPEC, LOCK, hermetic=False),
        signed(SPEC, LOCK, builder="urn:y"),
        signed(SPEC, LOCK, subject=Digest.of(b"other")),
        signed(kind="https://example.org/other"),
        b"{",
    ]
    accepted = judged(*(several[n] for n in order))
    assert accepted.provenance.run_details.builder.id == "urn:y"
    assert codes(accepted) == []
    assert [used.used for used in accepted.evidence].count(True) == 1


def test_too_many_are_refused_and_none_is_looked_at():
    def endless():
        while True:
            yield AttachedBundle("referrer", signed(SPEC, LOCK))

    examined = examine(endless(), KeyVerifier([KEY]), INDEX)
    assert [finding.code for finding in examined.findings] == ["bundle-malformed"]
    assert examined.authentic == ()
    assert choose(examined, ()).provenance is None
    assert str(limits.BUNDLES) in examined.findings[0].message


def test_as_many_as_are_allowed_are_looked_at():
    accepted = judged(*[b"{"] * (limits.BUNDLES - 1), signed(SPEC, LOCK))
    assert codes(accepted) == []


@pytest.mark.parametrize("hermetic", [True, False])
def test_evidence_says_what_the_verdict_rests_on(hermetic):
    (used,) = judged(signed(SPEC, LOCK, hermetic=hermetic)).evidence
    assert msgspec.structs.asdict(used) == {
        "predicate_type": PROVENANCE,
        "signer": KEY.fingerprint,
        "digest": used.digest,
        "used": True,
        "builder": "urn:x",
        "hermetic": hermetic,
    }
