"""The verdict: its findings, the evidence it rests on, and what was not checked."""

from collections.abc import Iterable

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding

MOST_FINDINGS = 1000
_LONGEST = 500
_ORDER = {"error": 0, "warning": 1, "note": 2}
# Codes of the readers of specs, and the codes of the same faults in a package.
_CODES = {
    Code.SPEC_INVALID: Code.DERIVATION_MISMATCH,
    Code.NOT_SUPPORTED_YET: Code.DERIVATION_MISMATCH,
}


class StatementUse(msgspec.Struct, frozen=True, kw_only=True):
    """A statement with a good signature, and whether the verdict rests on it."""

    predicate_type: str
    signer: str
    digest: Digest
    used: bool
    builder: str = ""
    hermetic: bool | None = None


class LeafEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf of the package, and the signers whose provenance names it."""

    kind: str
    name: str
    digest: Digest
    vouched_by: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """PASSED if no finding is an error; ``digest`` is empty if no package was found."""

    digest: str
    findings: tuple[Finding, ...]
    evidence: tuple[StatementUse, ...] = ()
    leaves: tuple[LeafEvidence, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check ran and none failed."""
        return not any(finding.severity == "error" for finding in self.findings)


def presentable(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns the distinct findings, errors first, printable and limited in number.

    Findings quote untrusted input, so control characters are removed here.
    """
    distinct = dict.fromkeys(_clean(finding) for finding in findings)
    ordered = sorted(distinct, key=lambda finding: _ORDER[finding.severity])
    more = len(ordered) - MOST_FINDINGS
    if more <= 0:
        return tuple(ordered)
    last = ordered[MOST_FINDINGS]
    return (*ordered[:MOST_FINDINGS], last._replace(message=f"and {more} more findings", where=""))


def printable(text: str) -> str:
    """Returns ``text`` without control characters, shortened if it is long."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return "".join(c if c.isprintable() else "?" for c in shown)


def _clean(finding: Finding) -> Finding:
    return finding._replace(
        code=_CODES.get(finding.code, finding.code),
        message=printable(finding.message),
        where=printable(finding.where),
        hint=printable(finding.hint),
    )
