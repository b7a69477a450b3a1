"""A process watched until it and everything it started is gone: its streams and its deadline."""

import os
import select
import selectors
import signal
import time
from collections.abc import Callable
from subprocess import Popen

import msgspec

from mpbuild.base.errors import AnswerError

LOG_LIMIT = 1 << 20
KEPT_LIMIT = 256 << 20
_CHUNK = 1 << 16
_LARGEST_PIPE = 1 << 20


class TailBuffer:
    """A sink that keeps the last ``LOG_LIMIT`` bytes and counts what it dropped."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data += data
        if len(self._data) > 2 * LOG_LIMIT:
            self._shorten()

    def content(self) -> bytes:
        """What was kept, below a line that says how much was not."""
        self._shorten()
        note = b"[%d bytes dropped]\n" % self._dropped if self._dropped else b""
        return note + bytes(self._data)

    def _shorten(self) -> None:
        surplus = max(0, len(self._data) - LOG_LIMIT)
        del self._data[:surplus]
        self._dropped += surplus


class BoundedBuffer:
    """A sink that keeps everything, up to ``KEPT_LIMIT`` bytes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """Take the next bytes; raise AnswerError where they are too many."""
        self._data += data
        if len(self._data) > KEPT_LIMIT:
            raise AnswerError(f"wrote more than {KEPT_LIMIT} bytes to its standard output")

    def content(self) -> bytes:
        """Everything."""
        return bytes(self._data)


class ProcessOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended.

    ``status`` is its exit status, or 128 and the number of the signal that ended it, as shells
    have it. ``log`` is the end of what it said, ``stdout`` its whole standard output where that
    was kept apart.
    """

    status: int
    timed_out: bool
    stdout: bytes
    log: bytes

    @property
    def succeeded(self) -> bool:
        """Whether it exited in time, with 0."""
        return self.status == 0 and not self.timed_out

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        if self.timed_out:
            return "did not end in time"
        number = self.status - 128
        if number in {member.value for member in signal.Signals}:
            return f"was ended by {signal.Signals(number).name} (exit status {self.status})"
        return f"ended with exit status {self.status}"


class Supervision:
    """Pumps the pipes of ``process`` until the process behind ``pidfd`` is dead.

    ``pidfd`` stands for the process whose death means that nothing is left to write: what the
    pipes hold by then is all there will be. ``kill`` ends everything at once.
    """

    def __init__(self, process: "Popen[bytes]", pidfd: int, kill: Callable[[], None]) -> None:
        self._process = process
        self._pidfd = pidfd
        self._kill = kill
        self._log = TailBuffer()
        self._kept = BoundedBuffer()
        self._sinks: dict[int, TailBuffer | BoundedBuffer] = {}
        self._unfed = memoryview(b"")

    def run(self, *, stdin: bytes, keep_stdout: bool, timeout_ms: int | None) -> ProcessOutcome:
        """Feed ``stdin``, drain the pipes, kill at the deadline; return when all are gone."""
        self._unfed = memoryview(stdin)
        try:
            timed_out = self._pump(keep_stdout, timeout_ms)
        except BaseException:
            self._kill()
            select.select([self._pidfd], [], [])
            raise
        finally:
            status = self._process.wait()
        return ProcessOutcome(
            status=128 - status if status < 0 else status,
            timed_out=timed_out,
            stdout=self._kept.content(),
            log=self._log.content(),
        )

    def _pump(self, keep_stdout: bool, timeout_ms: int | None) -> bool:
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        timed_out = False
        with selectors.DefaultSelector() as selector:
            self._attach(selector, keep_stdout)
            while True:
                ready = {key.fd for key, _ in selector.select(_remaining(deadline))}
                if self._pidfd in ready:
                    break
                for fd in ready:
                    self._serve(selector, fd)
                if deadline is not None and time.monotonic() >= deadline:
                    timed_out, deadline = True, None
                    self._kill()
        for fd, sink in self._sinks.items():
            sink.write(_read(fd, _LARGEST_PIPE) or b"")
        return timed_out

    def _attach(self, selector: selectors.BaseSelector, keep_stdout: bool) -> None:
        process = self._process
        selector.register(self._pidfd, selectors.EVENT_READ)
        for stream, sink in (
            (process.stdout, self._kept if keep_stdout else self._log),
            (process.stderr, self._log),
        ):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream.fileno(), selectors.EVENT_READ)
                self._sinks[stream.fileno()] = sink
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)

    def _serve(self, selector: selectors.BaseSelector, fd: int) -> None:
        """Move some bytes; forget a pipe that is at its end."""
        if fd not in self._sinks:
            self._feed(selector, fd)
        elif data := _read(fd, _CHUNK):
            self._sinks[fd].write(data)
        elif data is not None:
            selector.unregister(fd)
            del self._sinks[fd]

    def _feed(self, selector: selectors.BaseSelector, fd: int) -> None:
        try:
            self._unfed = self._unfed[os.write(fd, self._unfed) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unfed = memoryview(b"")
        if not self._unfed and self._process.stdin is not None:
            selector.unregister(fd)
            self._process.stdin.close()


def _read(fd: int, size: int) -> bytes | None:
    """The next bytes, ``b""`` at the end, None where there are none yet."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
