"""The protocols that the engine needs: executors, a result cache, a clock, an observer."""

from typing import Protocol

from mpbuild.base.digest import Digest
from mpbuild.engine.action import Action, ActionResult


class Executor(Protocol):
    """Runs actions of one kind."""

    @property
    def sandboxed(self) -> bool:
        """Whether actions can only see their declared inputs."""

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        """Runs an action and keeps its outputs; raises an MpbuildError if it fails."""


class ResultCache(Protocol):
    """Results of earlier runs; failures are not kept."""

    def find(self, key: Digest) -> ActionResult | None:
        """Returns the result for ``key`` if every blob of it still exists."""

    def remember(self, action: Action, result: ActionResult) -> None:
        """Keeps ``result``, atomically and safely for concurrent processes."""


class Clock(Protocol):
    """Wall-clock time, for the record only."""

    def now(self) -> float:
        """Returns seconds since the epoch."""


class TaskObserver(Protocol):
    """Receives the progress of a build, from several threads."""

    def started(self, name: str) -> None:
        """An action starts to run."""

    def finished(self, name: str, *, cached: bool) -> None:
        """An action is complete."""
