"""The checks of the audit, in the order in which their findings are told."""

from collections.abc import Callable, Iterator, Sequence

from mpbuild.resolve.audit import (
    closure,
    collisions,
    frameworks,
    objects,
    promises,
    rocm,
    undeclared,
)
from mpbuild.resolve.audit.subject import Observation, Subject

_OF_ONE: tuple[Callable[[Subject], Iterator[Observation]], ...] = (
    closure.check,
    collisions.check,
    promises.check,
    undeclared.check,
    rocm.check,
    frameworks.check,
    objects.check,
)


def observations(subjects: Sequence[Subject]) -> Iterator[Observation]:
    """All that is to be said of these environments of one model."""
    for subject in subjects:
        for check in _OF_ONE:
            yield from check(subject)
    yield from frameworks.across([one for one in subjects if one.accelerator is not None])
