"""Supervises a process and all that it started to their end: its streams and its deadline."""

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
"""The bytes of a log that are kept: its end."""

STDOUT_LIMIT = 256 << 20
"""The default limit of a standard output that is kept, in bytes."""

_CHUNK = 1 << 16
_LARGEST_PIPE = 1 << 20


class TailBuffer:
    """A sink that keeps the last ``LOG_LIMIT`` bytes and counts those that it dropped."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._data += data
        if len(self._data) > 2 * LOG_LIMIT:
            self._shorten()

    def content(self) -> bytes:
        """The kept bytes, after a line with the number of dropped ones if there are any."""
        self._shorten()
        note = b"[%d bytes dropped]\n" % self._dropped if self._dropped else b""
        return note + bytes(self._data)

    def _shorten(self) -> None:
        surplus = max(0, len(self._data) - LOG_LIMIT)
        del self._data[:surplus]
        self._dropped += surplus


class BoundedBuffer:
    """A sink that keeps everything, up to ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """Takes the next bytes; raises AnswerError beyond the limit."""
        self._data += data
        if len(self._data) > self._limit:
            raise AnswerError(f"wrote more than {self._limit} bytes to its standard output")

    def content(self) -> bytes:
        """All bytes."""
        return bytes(self._data)


class ProcessOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended.

    ``status`` is its exit status or, as in shells, 128 plus the number of the signal that killed
    it. ``log`` is the end of its output; ``stdout`` is its whole standard output if that was kept.
    """

    status: int
    timed_out: bool
    stdout: bytes
    log: bytes

    @property
    def succeeded(self) -> bool:
        """Whether it exited in time with status 0."""
        return self.status == 0 and not self.timed_out

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        if self.timed_out:
            return "timed out"
        number = self.status - 128
        if number in {member.value for member in signal.Signals}:
            return f"was killed by {signal.Signals(number).name} (exit status {self.status})"
        return f"failed with exit status {self.status}"


class Supervision:
    """Pumps the pipes of ``process`` until the process behind ``pidfd`` is dead.

    After the death of that process nothing can write to the pipes any more. ``kill`` ends
    everything at once.
    """

    def __init__(
        self,
        process: "Popen[bytes]",
        pidfd: int,
        kill: Callable[[], None],
        stdout_limit: int = STDOUT_LIMIT,
    ) -> None:
        self._process = process
        self._pidfd = pidfd
        self._kill = kill
        self._log = TailBuffer()
        self._kept = BoundedBuffer(stdout_limit)
        self._sinks: dict[int, TailBuffer | BoundedBuffer] = {}
        self._unfed = memoryview(b"")

    def run(self, *, stdin: bytes, keep_stdout: bool, timeout_ms: int | None) -> ProcessOutcome:
        """Feeds ``stdin``, drains the pipes, kills at the deadline; returns when all are dead."""
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
        """Moves some bytes; unregisters a pipe at its end."""
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
    """The next bytes: ``b""`` at the end, None if there are none yet."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
