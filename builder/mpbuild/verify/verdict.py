"""The verdict: what was found, on what evidence, and what nobody checked."""

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """A statement with a good signature, and whether the verdict rests on it."""

    predicate_type: str
    signer: str
    digest: Digest
    used: bool
    builder: str = ""
    hermetic: bool | None = None


class LeafSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A byte string that no function makes, and who says that it belongs there."""

    kind: str
    name: str
    digest: Digest
    vouched_by: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """PASSED only if nothing found is an error; ``digest`` is empty where there is no package."""

    digest: str
    findings: tuple[Finding, ...]
    evidence: tuple[Used, ...] = ()
    leaves: tuple[LeafSeen, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check ran and none failed."""
        return not any(finding.severity == "error" for finding in self.findings)
