"""Checks that a provenance covers every part that a package is made of."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding
from mpbuild.formats.evidence.provenance import Provenance


class PackagePart(NamedTuple):
    """A leaf or an input of a package: its kind, its name and its digest."""

    kind: str
    name: str
    digest: Digest


def uncovered(provenance: Provenance, required: Iterable[PackagePart]) -> Iterator[Finding]:
    """Yields a finding for each required part that the provenance does not name.

    Kind and digest must match. Names need not, since paths in a workspace and in an image differ;
    but a lock that the provenance names with another digest is a lock-mismatch.
    """
    resolved, locks = provenance.resolved, provenance.of_kind("lock")
    for part in required:
        if (part.kind, part.digest) in resolved:
            continue
        if part.kind == "lock" and part.name in locks:
            yield Finding(
                Code.LOCK_MISMATCH,
                f"the provenance has {locks[part.name]}, the package {part.digest}",
                part.name,
            )
        else:
            yield Finding(
                Code.DEPENDENCIES_INCOMPLETE,
                f"the provenance does not name the {part.kind} {part.digest}",
                part.name,
            )
