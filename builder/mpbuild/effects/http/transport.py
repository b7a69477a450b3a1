"""Transports send HTTP requests (RFC 9110); they are stacked, each with one concern.

From the inside out: ``http_transport`` connects, ``file_transport`` serves ``file:`` URLs,
``retry`` repeats requests, ``authentication`` adds logins. ``client`` reads files over a stack.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from mpbuild.base.errors import EnvironmentFailureError

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that may be repeated (RFC 9110, section 9.2.2)."""


class MissingError(EnvironmentFailureError):
    """The server does not have the file."""


class TransientError(EnvironmentFailureError):
    """A failure that may not occur again."""


class RequestBody(msgspec.Struct, frozen=True):
    """The content of a request: ``open`` returns its chunks anew, ``size`` bytes in all."""

    open: Callable[[], Iterable[bytes]]
    size: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request; with ``redirects``, redirects are followed, to other hosts without logins."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: RequestBody | None = None
    redirects: bool = True

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        """Returns the request with these headers added or replaced."""
        return msgspec.structs.replace(self, headers={**self.headers, **headers})


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response; names in ``headers`` are case-insensitive, ``chunks`` can be read once.

    ``url`` is the final URL after redirects, ``redirected`` is whether there were any.
    """

    status: int
    reason: str
    url: str
    redirected: bool
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class Transport(Protocol):
    """Sends requests; threads may share a transport."""

    def send(self, request: Request, /) -> AbstractContextManager[Response]:
        """Sends a request; the connection is released when the context ends.

        Returns responses of every status. Raises TransientError or another EnvironmentFailureError
        if there is no response, also from inside the context while its chunks are read.
        """
