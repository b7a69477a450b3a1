"""Checks a provenance by itself: its predicate, its subject and its fields (SLSA provenance v1)."""

from collections.abc import Iterator

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.evidence.provenance import (
    BUILD_TYPE,
    PARAMETERS,
    Provenance,
    read_provenance,
)
from mpbuild.formats.evidence.statement import PROVENANCE, Statement


def provenance_of(statement: Statement, index: Digest) -> Provenance:
    """Reads the sound provenance of ``index`` in ``statement``; raises InputError otherwise.

    The steps are those of SLSA v1.0, "Verifying artifacts", step 1 (the envelope has been checked)
    and step 2 (expectations on parameters and builder).
    """
    # 1. The predicate is a provenance.
    if statement.predicate_type != PROVENANCE:
        raise InputError(
            f"its predicate is {statement.predicate_type!r:.80}, not a provenance",
            code=Code.PREDICATE_TYPE,
        )
    # 2. The package is one of the statement's subjects.
    if index not in [subject.digest for subject in statement.subject]:
        raise InputError(
            f"its subject is {statement.subject[0].digest}, not {index}",
            code=Code.SUBJECT_MISMATCH,
        )
    # 3. The predicate has the form of its type.
    provenance = read_provenance(statement.predicate)
    # 4. Every field is known and filled in.
    if faults := list(provenance_faults(provenance)):
        raise InputError.collect(faults)
    return provenance


def provenance_faults(provenance: Provenance) -> Iterator[Finding]:
    """Yields the faults of a provenance that do not depend on the package."""
    definition = provenance.build_definition
    if definition.build_type != BUILD_TYPE:
        message = f"its buildType is {definition.build_type!r:.80}, not {BUILD_TYPE}"
        yield Finding(Code.PREDICATE_MALFORMED, message)
    for name in sorted(definition.external_parameters.keys() - PARAMETERS):
        yield Finding(Code.PARAMETER_UNKNOWN, f"unknown external parameter {name!r:.80}")
    if not provenance.run_details.builder.id:
        yield Finding(Code.BUILDER_NOT_ALLOWED, "its builder has no id")
    for resource in definition.resolved_dependencies:
        if not resource.digest:
            yield Finding(Code.DEPENDENCIES_INCOMPLETE, f"{resource.name!r:.80} has no digest")
