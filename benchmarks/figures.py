"""A measured figure and its budget."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

MPBUILD = str(Path(sys.executable).with_name("mpbuild"))
"""The command of the environment that measures, whatever PATH says."""


class Figure(NamedTuple):
    """``value`` in ``unit``; at most ``limit``, or at least where ``at_least``.

    Without a value it was not measured, for ``reason``: that is no success.
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
        """The same without a value."""
        return self._replace(value=None, reason=reason)


def seconds(task: Callable[[], object]) -> float:
    """How long ``task`` takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def medians(tasks: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each task, run in turn so that a busy moment hits all alike."""
    times = _rounds(tasks, rounds)
    return [statistics.median(kept) for kept in zip(*times, strict=True)]


def ratio(over: Callable[[], object], under: Callable[[], object], rounds: int) -> float:
    """How many times as long as ``under`` takes ``over``: the median of rounds of the two."""
    return statistics.median(a / b for a, b in _rounds([over, under], rounds))


def _rounds(tasks: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    return [[seconds(task) for task in tasks] for _ in range(rounds)]
