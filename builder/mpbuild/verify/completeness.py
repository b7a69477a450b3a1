"""Whether a provenance is sound, and whether it names all that a package is made of."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding
from mpbuild.formats.evidence.provenance import BUILD_TYPE, PARAMETERS, Provenance


class PackagePart(NamedTuple):
    """A leaf or an input of a package: what it is, what it is called, and its bytes."""

    kind: str
    name: str
    digest: Digest


def judge(found: Provenance) -> Iterator[Finding]:
    """What is wrong with a provenance whatever the package."""
    definition = found.build_definition
    if definition.build_type != BUILD_TYPE:
        message = f"its buildType is {definition.build_type!r:.80}, not {BUILD_TYPE}"
        yield Finding(Code.PREDICATE_MALFORMED, message)
    for name in sorted(definition.external_parameters.keys() - PARAMETERS):
        message = f"nothing is known of the external parameter {name!r:.80}"
        yield Finding(Code.PARAMETER_UNKNOWN, message)
    if not found.run_details.builder.id:
        yield Finding(Code.BUILDER_NOT_ALLOWED, "its builder has no id")
    for resource in definition.resolved_dependencies:
        if not resource.digest:
            yield Finding(Code.DEPENDENCIES_INCOMPLETE, f"{resource.name!r:.80} has no digest")


def judge_completeness(found: Provenance, needed: Iterable[PackagePart]) -> Iterator[Finding]:
    """Whether all of ``needed`` stand in the provenance as what they are.

    Names don't count, since paths in a workspace and in an image differ; but a lock that stands
    there with another digest is a lock-mismatch.
    """
    resolved, locks = found.resolved, found.of_kind("lock")
    for part in needed:
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
                Code.DEPENDENCIES_INCOMPLETE, f"{part.kind} {part.digest} is not in it", part.name
            )
