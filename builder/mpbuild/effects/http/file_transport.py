"""Serves ``file:`` URLs as a web server would, with ranges; passes other URLs on."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.transport import MissingError, Request, Response, Transport
from mpbuild.effects.http.urls import shown

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class FileTransport:
    """Reads local files; ``inner`` sends requests for every other scheme."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @contextlib.contextmanager
    def send(self, request: Request) -> Iterator[Response]:
        """Reads a file; raises MissingError or another EnvironmentFailureError."""
        with contextlib.ExitStack() as stack:
            if not request.url.startswith("file:"):
                yield stack.enter_context(self._inner.send(request))
                return
            file = stack.enter_context(_opened(request.url))
            size = file.seek(0, 2)
            start, stop = _span(request.headers.get("Range", ""), size)
            file.seek(start)
            partial = (start, stop) != (0, size)
            headers = {"Content-Length": str(stop - start)}
            if partial:
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            yield Response(
                status=206 if partial else 200,
                reason="",
                url=request.url,
                redirected=False,
                headers=headers,
                chunks=_chunks(file, stop - start),
            )


def _opened(url: str) -> IO[bytes]:
    try:
        return Path(unquote(urlsplit(url).path)).open("rb")
    except FileNotFoundError as error:
        raise MissingError("no such file", where=shown(url)) from error
    except OSError as error:
        raise EnvironmentFailureError(error.strerror or str(error), where=shown(url)) from error


def _span(header: str, size: int) -> tuple[int, int]:
    """The bytes that a Range header asks for, within a file of ``size`` bytes."""
    match = _RANGE.fullmatch(header)
    if not match:
        return 0, size
    start = min(int(match[1]), size)
    return start, min(int(match[2]) + 1, size) if match[2] else size


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk
