"""The checks of the audit, in the order of their findings."""

from collections.abc import Callable, Iterator, Sequence

from mpbuild.audit import (
    collisions,
    frameworks,
    requirement_closure,
    rocm,
    shared_objects,
    tag_promises,
    undeclared_imports,
)
from mpbuild.audit.audited_environment import AuditedEnvironment, Observation

_OF_ONE: tuple[Callable[[AuditedEnvironment], Iterator[Observation]], ...] = (
    requirement_closure.check,
    collisions.check,
    tag_promises.check,
    undeclared_imports.check,
    rocm.check,
    frameworks.check,
    shared_objects.check,
)


def observations(subjects: Sequence[AuditedEnvironment]) -> Iterator[Observation]:
    """Yields the findings about the environments of a model."""
    for subject in subjects:
        for check in _OF_ONE:
            yield from check(subject)
    yield from frameworks.across([one for one in subjects if one.accelerator is not None])
