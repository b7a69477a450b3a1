"""Verifying with a key and no policy: one valid provenance by that key over the whole index."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.evidence.provenance import Provenance, read_provenance
from mpbuild.formats.evidence.statement import PROVENANCE
from mpbuild.verify.authenticate import Evidence, examine
from mpbuild.verify.completeness import PackagePart, judge, judge_completeness
from mpbuild.verify.public_keys import PublicKey
from mpbuild.verify.verdict import StatementUse

MOST_BUNDLES = 256
MOST_BYTES = 64 << 20
"""Of all bundles together."""

_TOO_MUCH = Finding(
    Code.BUNDLE_MALFORMED,
    f"more than {MOST_BUNDLES} things or {MOST_BYTES} bytes are attached to the package",
    hint="somebody floods it: keep the signer's alone",
)

Found = tuple[str, bytes | InputError]


class ProvenanceCandidate(msgspec.Struct, frozen=True):
    """A sound provenance of the index by one of the keys."""

    evidence: Evidence
    provenance: Provenance


class Examination(msgspec.Struct, frozen=True):
    """What came of the bundles: all good statements, those that may count, and what is wrong.

    ``faults`` speak of single bundles, ``findings`` of all of them together.
    """

    good: tuple[Evidence, ...] = ()
    candidates: tuple[ProvenanceCandidate, ...] = ()
    faults: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()


class AcceptedProvenance(msgspec.Struct, frozen=True):
    """The provenance that counts, what it rests on, and findings."""

    provenance: Provenance | None
    signer: str
    evidence: tuple[StatementUse, ...]
    findings: tuple[Finding, ...]


def examine_all(bundles: Iterable[Found], keys: Sequence[PublicKey], index: Digest) -> Examination:
    """Look for provenances of ``index`` among ``bundles``: places, with bytes or why not.

    Too many are refused unread: which of them are seen must not depend on their order.
    """
    found: list[Found] = []
    size = 0
    for where, data in bundles:
        found.append((where, data))
        size += len(data) if isinstance(data, bytes) else 0
        if len(found) > MOST_BUNDLES or size > MOST_BYTES:
            return Examination(findings=(_TOO_MUCH,))
    good: list[Evidence] = []
    candidates: list[ProvenanceCandidate] = []
    faults: list[Finding] = []
    for where, data in found:
        try:
            evidence = _evidence(data, keys)
            good.append(evidence)
            candidates.append(ProvenanceCandidate(evidence, _provenance_of(evidence, index)))
        except InputError as error:
            faults += error.within(where).findings
    foreign = [fault for fault in faults if fault.code == Code.REFERRER_FOREIGN]
    return Examination(
        tuple(good),
        tuple(candidates),
        tuple(fault for fault in faults if fault not in foreign),
        (*_missing(found, good), *(fault._replace(severity="note") for fault in foreign)),
    )


def accept(examined: Examination, needed: Sequence[PackagePart]) -> AcceptedProvenance:
    """Choose the provenance that names all of ``needed``; what nobody needs is only noted.

    Where several do, which one counts must not depend on the order in which a registry lists
    them: hermetic ones go first.
    """
    ranked = sorted(examined.candidates, key=_rank)
    judged = [(one, tuple(judge_completeness(one.provenance, needed))) for one in ranked]
    complete = [(one, findings) for one, findings in judged if not findings]
    for chosen, findings in (*complete, *judged)[:1]:
        return AcceptedProvenance(
            chosen.provenance,
            chosen.evidence.signer.fingerprint,
            tuple(_used(evidence, chosen) for evidence in examined.good),
            (*examined.findings, *findings, *_notes(examined.faults)),
        )
    return AcceptedProvenance(
        None,
        "",
        tuple(_used(evidence, None) for evidence in examined.good),
        (*examined.faults, *examined.findings),
    )


def _rank(candidate: ProvenanceCandidate) -> tuple[bool, Digest]:
    return not candidate.provenance.hermetic, candidate.evidence.digest


def _evidence(data: bytes | InputError, keys: Sequence[PublicKey]) -> Evidence:
    if isinstance(data, InputError):
        raise data
    return examine(data, keys)


def _provenance_of(evidence: Evidence, index: Digest) -> Provenance:
    statement = evidence.statement
    if statement.predicate_type != PROVENANCE:
        raise InputError(
            f"it is a {statement.predicate_type!r:.80}, no provenance", code=Code.PREDICATE_TYPE
        )
    if index not in [subject.digest for subject in statement.subject]:
        raise InputError(
            f"it speaks of {statement.subject[0].digest}, not of {index}",
            code=Code.SUBJECT_MISMATCH,
        )
    provenance = read_provenance(statement.predicate)
    if problems := list(judge(provenance)):
        raise InputError.collect(problems)
    return provenance


def _missing(found: Sequence[Found], good: Sequence[Evidence]) -> Iterator[Finding]:
    """Told where there is no provenance at all; one of another package is told as that."""
    if not any(isinstance(data, bytes) for _, data in found):
        yield Finding(
            Code.SIGNATURE_MISSING,
            "nothing signed is attached to the package",
            hint="`mpbuild sign` attaches a provenance; copies must bring referrers along",
        )
    if not any(evidence.statement.predicate_type == PROVENANCE for evidence in good):
        yield Finding(Code.PROVENANCE_MISSING, "no provenance by the given key")


def _notes(faults: Iterable[Finding]) -> Iterator[Finding]:
    """Faults of what isn't needed: told, but no reason to refuse. Other statements are none."""
    for fault in faults:
        if fault.code != Code.PREDICATE_TYPE:
            yield Finding(
                Code.REFERRER_FOREIGN,
                f"{fault.message} ({fault.code})",
                fault.where,
                severity="note",
            )


def _used(evidence: Evidence, chosen: ProvenanceCandidate | None) -> StatementUse:
    provenance = chosen.provenance if chosen and evidence is chosen.evidence else None
    return StatementUse(
        predicate_type=evidence.statement.predicate_type,
        signer=evidence.signer.fingerprint,
        digest=evidence.digest,
        used=provenance is not None,
        builder=provenance.run_details.builder.id if provenance else "",
        hermetic=provenance.hermetic if provenance else None,
    )
