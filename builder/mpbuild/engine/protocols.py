"""What the engine asks of the world: executors, a result cache, a clock, somebody who watches."""

from typing import Protocol

from mpbuild.base.digest import Digest
from mpbuild.engine.action import Action, Result


class Executor(Protocol):
    """Runs actions of one kind."""

    @property
    def sandboxed(self) -> bool:
        """Whether what it runs can see declared inputs only."""

    def run(self, action: Action, timeout_ms: int | None) -> Result:
        """The result, all of whose blobs are kept; raise an MpbuildError otherwise."""


class Results(Protocol):
    """Results of earlier runs; failures are never kept."""

    def find(self, key: Digest) -> Result | None:
        """The result under ``key`` if every blob it needs is still there."""

    def remember(self, action: Action, result: Result) -> None:
        """Keep ``result``; atomic, and safe beside other processes."""


class Clock(Protocol):
    """Wall-clock time, for the record only."""

    def now(self) -> float:
        """Seconds since the epoch."""


class Observer(Protocol):
    """Told what happens, from several threads."""

    def started(self, name: str) -> None:
        """``name`` runs now."""

    def finished(self, name: str, *, cached: bool) -> None:
        """``name`` is done."""
