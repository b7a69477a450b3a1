"""Repeats requests that failed for a moment, and waits as long as the server asks."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import urllib3

from mpbuild.base import limits
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.transport import (
    IDEMPOTENT,
    Request,
    Response,
    TransientError,
    Transport,
)

T = TypeVar("T")

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which a request may be repeated."""

_UNPROCESSED = frozenset({425, 429})
_RETRY_AFTER = urllib3.Retry()


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The number of attempts and the pauses between them, in seconds.

    The first pause is ``backoff``, and each further one is twice as long. A server may ask for a
    longer one with Retry-After, up to ``longest``.
    """

    attempts: int = 4
    backoff: float = 0.5
    longest: float = limits.RETRY_AFTER_SECONDS
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int, requested: float | None = None) -> None:
        """Sleeps after the attempt with this number, counted from 0."""
        self.sleep(max(self.backoff * 2**attempt, requested or 0))

    def call(self, function: Callable[[], T]) -> T:
        """Calls ``function`` again while it raises TransientError; returns its result."""
        for attempt in range(self.attempts - 1):
            try:
                return function()
            except TransientError:
                self.pause(attempt)
        return function()


class RetryTransport:
    """Repeats requests of ``inner`` that got no response, or one with a status in ``BUSY``.

    Requests that are not idempotent are only repeated if the server did not process them. After the
    last attempt, a failure is no longer a TransientError.
    """

    def __init__(self, inner: Transport, policy: RetryPolicy) -> None:
        self._inner = inner
        self._policy = policy

    @contextlib.contextmanager
    def send(self, request: Request) -> Iterator[Response]:
        """Sends a request up to ``attempts`` times."""
        repeatable = request.method in IDEMPOTENT
        for attempt in range(self._policy.attempts):
            last = attempt == self._policy.attempts - 1
            with contextlib.ExitStack() as stack:
                try:
                    response = stack.enter_context(self._inner.send(request))
                except TransientError as error:
                    if last or not repeatable:
                        raise EnvironmentFailureError.collect(error.findings) from error
                    requested = None
                else:
                    requested = _retry_after(response)
                    busy = response.status in (BUSY if repeatable else _UNPROCESSED)
                    if last or not busy or (requested or 0) > self._policy.longest:
                        yield response
                        return
            self._policy.pause(attempt, requested)


def _retry_after(response: Response) -> float | None:
    """The seconds to wait (RFC 9110, section 10.2.3); None if the header is missing or invalid."""
    header = response.headers.get("Retry-After")
    try:
        return None if header is None else _RETRY_AFTER.parse_retry_after(header)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None
