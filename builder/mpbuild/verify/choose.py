"""Chooses the provenance that a verdict rests on, from the bundles attached to a package."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.evidence.provenance import Provenance
from mpbuild.formats.evidence.statement import PROVENANCE
from mpbuild.verify.authenticate import Evidence, SignatureVerifier, authenticate
from mpbuild.verify.completeness import PackagePart, uncovered
from mpbuild.verify.provenance_checks import provenance_of
from mpbuild.verify.verdict import StatementUse

_TOO_MANY = Finding(
    Code.BUNDLE_MALFORMED,
    f"more than {limits.BUNDLES} referrers or {limits.BUNDLES_BYTES} bytes of bundles are attached",
    hint="remove the referrers that the signer did not attach",
)


class AttachedBundle(NamedTuple):
    """A referrer of a package: where it was found, and its bundle, or why it can't be read."""

    where: str
    data: bytes | InputError


class ProvenanceCandidate(msgspec.Struct, frozen=True):
    """A sound provenance of the package by a trusted signer."""

    evidence: Evidence
    provenance: Provenance


class Examination(msgspec.Struct, frozen=True):
    """The result of examining all bundles.

    ``faults`` concern single bundles; ``findings`` concern all of them together.
    """

    authentic: tuple[Evidence, ...] = ()
    candidates: tuple[ProvenanceCandidate, ...] = ()
    faults: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()


class ProvenanceChoice(msgspec.Struct, frozen=True):
    """The chosen provenance and its signer, the use made of each statement, and findings."""

    provenance: Provenance | None
    signer: str
    evidence: tuple[StatementUse, ...]
    findings: tuple[Finding, ...]


def examine(
    bundles: Iterable[AttachedBundle], verifier: SignatureVerifier, index: Digest
) -> Examination:
    """Finds provenances of ``index`` among ``bundles``.

    Beyond the limits nothing is examined, so that the result never depends on which bundles a
    registry lists first.
    """
    attached: list[AttachedBundle] = []
    size = 0
    for bundle in bundles:
        attached.append(bundle)
        size += len(bundle.data) if isinstance(bundle.data, bytes) else 0
        if len(attached) > limits.BUNDLES or size > limits.BUNDLES_BYTES:
            return Examination(findings=(_TOO_MANY,))
    authentic: list[Evidence] = []
    candidates: list[ProvenanceCandidate] = []
    faults: list[Finding] = []
    for where, data in attached:
        try:
            evidence = _evidence(data, verifier)
            authentic.append(evidence)
            provenance = provenance_of(evidence.statement, index)
            candidates.append(ProvenanceCandidate(evidence, provenance))
        except InputError as error:
            faults += error.within(where).findings
    foreign = [fault for fault in faults if fault.code == Code.REFERRER_FOREIGN]
    return Examination(
        tuple(authentic),
        tuple(candidates),
        tuple(fault for fault in faults if fault not in foreign),
        (*_missing(attached, authentic), *(fault._replace(severity="note") for fault in foreign)),
    )


def choose(examination: Examination, required: Sequence[PackagePart]) -> ProvenanceChoice:
    """Chooses a provenance that covers every required part; reports faults in others as notes.

    Hermetic builds come first, then the order of digests: the choice must not depend on the order
    in which a registry lists referrers.
    """
    ranked = sorted(examination.candidates, key=_rank)
    judged = [(one, tuple(uncovered(one.provenance, required))) for one in ranked]
    complete = [(one, findings) for one, findings in judged if not findings]
    for chosen, findings in (*complete, *judged)[:1]:
        return ProvenanceChoice(
            chosen.provenance,
            chosen.evidence.signer,
            tuple(_use(evidence, chosen) for evidence in examination.authentic),
            (*examination.findings, *findings, *_notes(examination.faults)),
        )
    return ProvenanceChoice(
        None,
        "",
        tuple(_use(evidence, None) for evidence in examination.authentic),
        (*examination.faults, *examination.findings),
    )


def _rank(candidate: ProvenanceCandidate) -> tuple[bool, Digest]:
    return not candidate.provenance.hermetic, candidate.evidence.digest


def _evidence(data: bytes | InputError, verifier: SignatureVerifier) -> Evidence:
    if isinstance(data, InputError):
        raise data
    return authenticate(data, verifier)


def _missing(
    attached: Sequence[AttachedBundle], authentic: Sequence[Evidence]
) -> Iterator[Finding]:
    """Reports that no provenance exists; one of another package is a fault of its own."""
    if not any(isinstance(bundle.data, bytes) for bundle in attached):
        yield Finding(
            Code.SIGNATURE_MISSING,
            "the package has no signatures",
            hint="`mpbuild sign` attaches a provenance; tools that copy a package must copy its"
            " referrers",
        )
    if not any(evidence.statement.predicate_type == PROVENANCE for evidence in authentic):
        yield Finding(Code.PROVENANCE_MISSING, "no provenance by the given signer")


def _notes(faults: Iterable[Finding]) -> Iterator[Finding]:
    """Reports faults of other bundles, except statements of other types, which are legitimate."""
    for fault in faults:
        if fault.code != Code.PREDICATE_TYPE:
            yield Finding(
                Code.REFERRER_FOREIGN,
                f"{fault.message} ({fault.code})",
                fault.where,
                severity="note",
            )


def _use(evidence: Evidence, chosen: ProvenanceCandidate | None) -> StatementUse:
    provenance = chosen.provenance if chosen and evidence is chosen.evidence else None
    return StatementUse(
        predicate_type=evidence.statement.predicate_type,
        signer=evidence.signer,
        digest=evidence.digest,
        used=provenance is not None,
        builder=provenance.run_details.builder.id if provenance else "",
        hermetic=provenance.hermetic if provenance else None,
    )
