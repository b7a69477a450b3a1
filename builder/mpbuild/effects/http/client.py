"""Reads files over HTTP: whole documents, ranges and sizes, with every failure as our error.

RFC 9110. What a client trusts and knows is decided by the transports it is made of.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, NoReturn, TypeVar

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.authentication import BasicAuthentication
from mpbuild.effects.http.file_transport import FileTransport
from mpbuild.effects.http.http_transport import HttpTransport
from mpbuild.effects.http.retry import RetryPolicy, RetryTransport
from mpbuild.effects.http.transport import MissingError, Request, Response, Transport
from mpbuild.effects.http.urls import shown

T = TypeVar("T")

_IDENTITY = {"Accept-Encoding": "identity"}
_SIZE = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_MOVED = frozenset({301, 302, 303, 307, 308})


class Body(NamedTuple):
    """A file, or the rest of one: its first byte, the size of the whole file if known, the bytes.

    ``version`` identifies the file's content over time: a strong entity tag, else the time of the
    last change, empty if the server sends neither.
    """

    start: int
    total: int | None
    chunks: Iterator[bytes]
    version: str = ""


class Document(NamedTuple):
    """A small file: its final URL, its media type and its bytes."""

    url: str
    media_type: str
    data: bytes


class HttpClient:
    """Reads files over a transport; threads may share it."""

    def __init__(self, transport: Transport, retries: RetryPolicy) -> None:
        self._transport = transport
        self._retries = retries

    @contextlib.contextmanager
    def open(self, url: str, start: int = 0, stop: int | None = None) -> Iterator[Body]:
        """Opens the file at ``url``, from byte ``start`` to ``stop`` if the server supports ranges.

        Check the body's own ``start``. Raises MissingError, TransientError or another
        EnvironmentFailureError.
        """
        headers = dict(_IDENTITY)
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop}"
        with self._transport.send(Request(url=url, headers=headers)) as response:
            yield _body(response, url)

    def read(self, url: str, *, limit: int, accept: str = "*/*") -> bytes:
        """Reads a small file; raises EnvironmentFailureError beyond ``limit`` bytes."""
        return self.document(url, limit=limit, accept=accept).data

    def document(self, url: str, *, limit: int, accept: str) -> Document:
        """Reads a small file in one of the media types of ``accept``, which the server selects."""
        request = Request(url=url, headers={**_IDENTITY, "Accept": accept})
        return self.retry(lambda: self._document(request, limit))

    def size(self, url: str) -> int:
        """Returns the size of the file at ``url`` in bytes."""
        return self.retry(lambda: self._size(url))

    def retry(self, attempt: Callable[[], T]) -> T:
        """Calls ``attempt`` again while it raises TransientError, such as for a truncated body."""
        return self._retries.call(attempt)

    def _document(self, request: Request, limit: int) -> Document:
        with self._transport.send(request) as response:
            data = whole(_body(response, request.url), request.url, limit)
            return Document(response.url, response.headers.get("Content-Type", ""), data)

    def _size(self, url: str) -> int:
        # Requests one byte, since not every server answers HEAD.
        with self.open(url, 0, 0) as body:
            if body.total is None:
                raise EnvironmentFailureError(
                    "the server does not send the file's size", where=shown(url)
                )
            return body.total


def http_client(environ: Mapping[str, str], retries: RetryPolicy | None = None) -> HttpClient:
    """Makes a client with the certificates, proxies and logins of a process environment."""
    policy = retries or RetryPolicy()
    connection = RetryTransport(FileTransport(HttpTransport(environ)), policy)
    return HttpClient(BasicAuthentication(connection, environ), policy)


def whole(body: Body, url: str, limit: int) -> bytes:
    """Reads a body; raises EnvironmentFailureError (content-mismatch) beyond ``limit`` bytes."""
    data = bytearray()
    for chunk in body.chunks:
        data += chunk
        if len(data) > limit:
            raise EnvironmentFailureError(
                f"larger than {limit} bytes", where=shown(url), code=Code.CONTENT_MISMATCH
            )
    return bytes(data)


def _body(response: Response, url: str) -> Body:
    if response.status not in (200, 206):
        refuse(response, url)
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if _SIZE.fullmatch(length) else None
        return Body(0, total, response.chunks, _version(response))
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        raise EnvironmentFailureError(
            "the server sent a partial file without its range", where=shown(url)
        )
    return Body(int(match.group(1)), int(match.group(2)), response.chunks, _version(response))


def _version(response: Response) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def refuse(response: Response, url: str, hint: str = "") -> NoReturn:
    """Raises the error for the status of a response; ``hint`` is for refused logins."""
    message = f"the server answered {response.status} {response.reason}".rstrip()
    if response.status in (404, 410):
        raise MissingError(message, where=shown(url))
    if response.status == 416:
        raise EnvironmentFailureError(
            "the file is shorter than expected", where=shown(url), code=Code.CONTENT_MISMATCH
        )
    advice = ""
    if response.status in (401, 403, 407):
        advice = hint or "add a login to the URL (user:password@) or to ~/.netrc"
    elif response.status in _MOVED:
        advice = "a login is for one host and does not follow redirects"
    elif wait := response.headers.get("Retry-After"):
        advice = f"try again later: the server asks to wait ({wait[:40]})"
    raise EnvironmentFailureError(message, where=shown(url), hint=advice)
