"""What a person sees while something runs: a line for each action, and bytes on a terminal."""

import sys
import threading
from types import TracebackType
from typing import Self

from mpbuild.base.units import human_size
from mpbuild.cli.session import Session


class Progress:
    """Observes engine and downloads; safe to call from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._bytes = 0
        self._terminal = sys.stderr.isatty() and not session.quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._clear()

    def started(self, name: str) -> None:
        """An action runs now."""
        self._line(name)

    def finished(self, name: str, *, cached: bool) -> None:
        """An action is done; what ran was told when it started."""
        if cached and self._session.verbose:
            self._line(f"cached {name}")

    def received(self, count: int) -> None:
        """Bytes came from the network."""
        with self._lock:
            self._bytes += count
            if self._terminal:
                print(f"\r\x1b[K  fetched {human_size(self._bytes)}", end="", file=sys.stderr)  # noqa: T201

    def _line(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._session.say(f"  {text}")

    def _clear(self) -> None:
        if self._terminal and self._bytes:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201
