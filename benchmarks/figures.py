"""A measured figure and its budget."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """``value`` in ``unit``; at most ``limit``, or at least where ``at_least``."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False

    @property
    def good(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        bound = "at least" if self.at_least else "at most"
        mark = "ok  " if self.good else "OVER"
        return f"{mark} {self.name:<52} {self.value:8.2f} {self.unit}  ({bound} {self.limit:g})"


def medians(tasks: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each task, run in turn so that a busy moment hits all alike."""
    times: list[list[float]] = [[] for _ in tasks]
    for _ in range(rounds):
        for task, kept in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]
