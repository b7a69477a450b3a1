"""A measured figure and its budget."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

MPBUILD = str(Path(sys.executable).with_name("mpbuild"))
"""The command in this interpreter's environment, regardless of PATH."""


class Figure(NamedTuple):
    """A ``value`` in ``unit`` whose budget is at most ``limit``, or at least, if ``at_least``.

    A ``value`` of None was not measured, for ``reason``, and counts as a failure.
    """

    name: str
    value: float | None
    unit: str
    limit: float
    at_least: bool = False
    reason: str = ""

    @property
    def good(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        bound = f"({'at least' if self.at_least else 'at most'} {self.limit:g})"
        if self.value is None:
            return f"???  {self.name:<56} not measured: {self.reason}  {bound}"
        mark = "ok  " if self.good else "OVER"
        return f"{mark} {self.name:<56} {self.value:8.2f} {self.unit}  {bound}"

    def unmeasured(self, reason: str) -> "Figure":
        """Returns the figure without a value, for ``reason``."""
        return self._replace(value=None, reason=reason)


def seconds(task: Callable[[], object]) -> float:
    """Returns the duration of ``task`` in seconds."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def medians(tasks: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Returns the median duration of each task; tasks alternate, so that load affects all alike."""
    times = _rounds(tasks, rounds)
    return [statistics.median(kept) for kept in zip(*times, strict=True)]


def ratio(over: Callable[[], object], under: Callable[[], object], rounds: int) -> float:
    """Returns the duration of ``over`` divided by that of ``under``: the median over all rounds."""
    return statistics.median(a / b for a, b in _rounds([over, under], rounds))


def _rounds(tasks: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    return [[seconds(task) for task in tasks] for _ in range(rounds)]
