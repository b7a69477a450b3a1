"""Verifying with a key and no policy: one valid provenance by that key over the whole index."""

from collections.abc import Iterable, Sequence

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.provenance import Provenance, read_provenance
from mpbuild.formats.statement import PROVENANCE
from mpbuild.verify.evidence import Evidence, examine
from mpbuild.verify.keys import PublicKey
from mpbuild.verify.provenance import judge
from mpbuild.verify.verdict import Used

MOST_BUNDLES = 256


class Accepted(msgspec.Struct, frozen=True):
    """What came of the bundles: the provenance that counts, all good statements, findings."""

    provenance: Provenance | None
    signer: str
    evidence: tuple[Used, ...]
    findings: tuple[Finding, ...]


def accept(
    bundles: Iterable[tuple[str, bytes | InputError]], keys: Sequence[PublicKey], index: Digest
) -> Accepted:
    """Look for a provenance of ``index`` among ``bundles``: places, with bytes or why not.

    Where one is good, others that are not are notes: anyone can attach something to a package.
    """
    candidates: list[tuple[Evidence, Provenance]] = []
    good: list[Evidence] = []
    faults: list[Finding] = []
    bundles = list(bundles)
    if len(bundles) > MOST_BUNDLES:
        faults.append(
            Finding("bundle-malformed", f"{len(bundles)} bundles; {MOST_BUNDLES} are looked at")
        )
    for where, data in bundles[:MOST_BUNDLES]:
        try:
            if isinstance(data, InputError):
                raise data
            evidence = examine(data, keys)
            good.append(evidence)
            found = _provenance_of(evidence, index)
            problems = [finding._replace(where=where) for finding in judge(found)]
            if problems:
                faults += problems
            else:
                candidates.append((evidence, found))
        except InputError as error:
            faults += error.within(where).findings
    if candidates:
        # Which of several counts must not depend on the order in which a registry lists them.
        chosen, provenance = min(candidates, key=lambda c: (not c[1].hermetic, c[0].digest))
        return Accepted(
            provenance,
            chosen.signer.fingerprint,
            tuple(_used(evidence, chosen, provenance) for evidence in good),
            tuple(_foreign(fault) for fault in faults),
        )
    findings = [*faults, *_missing(bundles, good)]
    return Accepted(None, "", tuple(_used(e, None, None) for e in good), tuple(findings))


def _provenance_of(evidence: Evidence, index: Digest) -> Provenance:
    statement = evidence.statement
    if statement.predicate_type != PROVENANCE:
        raise InputError(
            f"it is a {statement.predicate_type[:80]}, no provenance", code="predicate-type"
        )
    if index not in [subject.digest for subject in statement.subject]:
        raise InputError(
            f"it speaks of {statement.subject[0].digest}, not of {index}", code="subject-mismatch"
        )
    return read_provenance(statement.predicate)


def _missing(bundles: Sequence[object], good: Sequence[Evidence]) -> Iterable[Finding]:
    if not bundles:
        yield Finding(
            "signature-missing",
            "nothing signed is attached to the package",
            hint="`mpbuild sign` attaches a provenance; copies must bring referrers along",
        )
    if not any(evidence.statement.predicate_type == PROVENANCE for evidence in good):
        yield Finding("provenance-missing", "no provenance by the given key")


def _foreign(fault: Finding) -> Finding:
    """A fault of what isn't needed: told, but no reason to refuse."""
    return Finding(
        "referrer-foreign", f"{fault.message} ({fault.code})", fault.where, severity="note"
    )


def _used(evidence: Evidence, chosen: Evidence | None, provenance: Provenance | None) -> Used:
    used = evidence is chosen
    return Used(
        predicate_type=evidence.statement.predicate_type,
        signer=evidence.signer.fingerprint,
        digest=evidence.digest,
        used=used,
        builder=provenance.run_details.builder.id if used and provenance else "",
        hermetic=provenance.hermetic if used and provenance else None,
    )
