"""Findings that the spec accepts, for a reason that it gives."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from mpbuild.audit.audited_environment import Observation
from mpbuild.base.codes import Code
from mpbuild.spec.environment import AcceptedFinding


def is_accepted(observation: Observation, accepted: Iterable[AcceptedFinding]) -> bool:
    """Whether an entry of ``accepted`` has its code and names all packages that it is about."""
    return any(_matches(entry, observation) for entry in accepted)


def left(
    observations: Iterable[Observation], accepted: Sequence[AcceptedFinding]
) -> list[Observation]:
    """Those that are not accepted."""
    return [one for one in observations if not is_accepted(one, accepted)]


def stale(
    observations: Sequence[Observation],
    accepted: Sequence[AcceptedFinding],
    spec_file: str,
    undecided: Collection[str] = (),
) -> Iterator[Observation]:
    """Entries, and packages in them, that no observation is about.

    ``observations`` are those of all environments. Of the codes ``undecided`` not all that there
    may be was looked for.
    """
    for position, entry in enumerate(accepted):
        if entry.code in undecided:
            continue
        met = {name for one in observations if _matches(entry, one) for name in one.packages}
        unmet = [name for name in entry.packages if name not in met]
        if unmet:
            yield Observation(
                Code.SPEC_INVALID,
                tuple(unmet),
                f"it accepts {entry.code} of {', '.join(unmet)}, and there is no such finding",
                f"{spec_file}: environment.accepted[{position}]",
                "take it out: what it was written for has gone",
            )


def _matches(entry: AcceptedFinding, observation: Observation) -> bool:
    named = bool(observation.packages) and set(observation.packages) <= set(entry.packages)
    return named and observation.code == entry.code.value
