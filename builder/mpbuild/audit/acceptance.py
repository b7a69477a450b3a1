"""Applies environment.accepted: findings that the spec accepts, with a reason."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from mpbuild.audit.audited_environment import Observation
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.spec.environment import AcceptedFinding


def is_accepted(observation: Observation, accepted: Iterable[AcceptedFinding]) -> bool:
    """Whether an entry of ``accepted`` has its code and names all of its packages."""
    return any(_matches(entry, observation) for entry in accepted)


def left(
    observations: Iterable[Observation], accepted: Sequence[AcceptedFinding]
) -> list[Observation]:
    """Returns the observations that are not accepted."""
    return [one for one in observations if not is_accepted(one, accepted)]


def stale(
    observations: Sequence[Observation],
    accepted: Sequence[AcceptedFinding],
    spec_file: str,
    undecided: Collection[str] = (),
) -> Iterator[Observation]:
    """Yields entries, or packages in them, that match no observation.

    ``observations`` are those of all environments. Entries with ``undecided`` codes are skipped,
    because the audit could not look for all of them.
    """
    for position, entry in enumerate(accepted):
        if entry.code in undecided:
            continue
        met = {name for one in observations if _matches(entry, one) for name in one.packages}
        unmet = [name for name in entry.packages if name not in met]
        if unmet:
            yield Observation(
                Finding(
                    Code.SPEC_INVALID,
                    f"it accepts {entry.code} of {', '.join(unmet)}, but there is no such finding",
                    f"{spec_file}: environment.accepted[{position}]",
                    "remove it: its reason no longer exists",
                ),
                tuple(unmet),
            )


def _matches(entry: AcceptedFinding, observation: Observation) -> bool:
    named = bool(observation.packages) and set(observation.packages) <= set(entry.packages)
    return named and observation.code == entry.code.value
