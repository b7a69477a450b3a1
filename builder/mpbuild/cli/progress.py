"""Progress of a build: a line for each action, and received bytes on a terminal."""

import sys
import threading
from types import TracebackType
from typing import Self

from mpbuild.base.units import human_size
from mpbuild.cli.session import Session


class Progress:
    """Prints the progress of actions and downloads; called from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._received = self._expected = 0
        self._live = sys.stderr.isatty() and not session.quiet

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
        """An action starts to run."""
        self._line(_shown(name))

    def finished(self, name: str, *, cached: bool) -> None:
        """An action is done; one that ran was printed when it started."""
        if cached and self._session.verbose:
            self._line(f"{_shown(name)} (cached)")

    def fetching(self, files: int, size: int) -> None:
        """Files of ``size`` bytes in all are about to be fetched."""
        self._received, self._expected = 0, size
        self._line(f"fetch  {files} files, {human_size(size)}")

    def reached(self, stage: str) -> None:
        """The build has completed a stage; nothing is printed."""

    def received(self, count: int) -> None:
        """``count`` more bytes were received."""
        with self._lock:
            self._received += count
            if self._live:
                share = f"{human_size(self._received)} of {human_size(self._expected)}"
                self._print(f"\r\x1b[K  fetched {share}")

    def _line(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._session.progress(f"  {text}")

    def _clear(self) -> None:
        if self._live and self._received:
            self._print("\r\x1b[K")

    def _print(self, text: str) -> None:
        self._session.say(text, end="")


def _shown(task: str) -> str:
    """A task as it is printed: kind and title, without the part that only makes the name unique."""
    kind, _, title = task.partition(":")
    if kind == "layer":
        title = title.rpartition(":")[0]
    return f"{kind:<5}  {title}"
