"""Whether a provenance is sound, and whether it names all that a package is made of."""

from collections.abc import Iterable, Iterator

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding
from mpbuild.formats.provenance import BUILD_TYPE, PARAMETERS, Provenance


def judge(found: Provenance) -> Iterator[Finding]:
    """What is wrong with a provenance whatever the package."""
    definition = found.build_definition
    if definition.build_type != BUILD_TYPE:
        yield Finding(
            "predicate-malformed", f"its buildType is {definition.build_type!r}, not {BUILD_TYPE}"
        )
    for name in sorted(definition.external_parameters.keys() - PARAMETERS):
        yield Finding("parameter-unknown", f"nothing is known of the external parameter {name!r}")
    if not found.run_details.builder.id:
        yield Finding("builder-not-allowed", "its builder has no id")
    for resource in definition.resolved_dependencies:
        if not resource.digest:
            yield Finding("dependencies-incomplete", f"{resource.name} has no digest")


def judge_completeness(
    found: Provenance, needed: Iterable[tuple[str, str, Digest]]
) -> Iterator[Finding]:
    """Whether all of ``needed`` (kind, name, digest) stand in the provenance.

    A lock that stands there with another digest is a lock-mismatch.
    """
    digests, locks = found.digests, found.of_kind("lock")
    for kind, name, digest in needed:
        if digest in digests:
            continue
        if kind == "lock" and name in locks:
            yield Finding(
                "lock-mismatch", f"the provenance has {locks[name]}, the package {digest}", name
            )
        else:
            yield Finding("dependencies-incomplete", f"{kind} {digest} is not in it", name)
