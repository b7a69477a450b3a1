"""Reads parts of remote files by range requests (RFC 9110, section 14).

Parts cannot be checked against the digest of the whole file, so they are as trustworthy as the
server.
"""

import threading
from collections.abc import Sequence

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, MpbuildError
from mpbuild.effects.http.client import Body, HttpClient
from mpbuild.effects.http.file_request import FileRequest, mismatch
from mpbuild.effects.http.urls import shown
from mpbuild.formats.archive.stream import Span

GAP = 4 << 10
"""Spans at most so many bytes apart share a request, whose overhead costs as much."""


class Meter:
    """Counts requests and received bytes; threads share it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.requests = 0
        self._lock = threading.Lock()

    def count(self, size: int) -> None:
        """Counts a request that received ``size`` bytes."""
        with self._lock:
            self.bytes += size
            self.requests += 1


class RangedFile:
    """A file of known size that is read in parts, from the first of its URLs that works.

    Raises EnvironmentFailureError: content-mismatch if the server has another file, fetch-failed if
    it does not support ranges.
    """

    def __init__(self, request: FileRequest, web: HttpClient, meter: Meter) -> None:
        self.size = request.size
        self._request = request
        self._web = web
        self._meter = meter

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """Returns the bytes of each span, in order; neighbouring spans share a request."""
        blocks = {block: self._block(block) for block in coalesced(spans)}
        return [_cut(span, blocks) for span in spans]

    def _block(self, block: Span) -> bytes:
        if not 0 <= block.start <= block.stop <= self.size:
            raise EnvironmentFailureError(
                f"bytes {block.start} to {block.stop} are beyond its size of {self.size} bytes",
                where=self._request.name,
                code=Code.CONTENT_MISMATCH,
            )
        if block.start == block.stop:
            return b""
        failed: MpbuildError | None = None
        for url in self._request.urls:
            try:
                return self._web.retry(lambda url=url: self._part(url, block))  # type: ignore[misc]
            except EnvironmentFailureError as error:
                failed = failed or error
        raise (failed or EnvironmentFailureError("no URL is known")).within(self._request.name)

    def _part(self, url: str, block: Span) -> bytes:
        with self._web.open(url, block.start, block.stop - 1) as body:
            self._check(body, block, url)
            found = bytearray()
            for chunk in body.chunks:
                found += chunk
                if len(found) >= block.stop - block.start:
                    break
        self._meter.count(len(found))
        size = block.stop - block.start
        if len(found) != size:
            raise mismatch(f"the server sent {len(found)} bytes instead of {size}", url)
        return bytes(found)

    def _check(self, body: Body, block: Span, url: str) -> None:
        if body.total not in (None, self.size):
            raise mismatch(f"the size is {body.total} bytes; expected {self.size}", url)
        if body.start != block.start:
            raise EnvironmentFailureError(
                "the server does not support range requests",
                where=shown(url),
                hint="run `mpbuild fetch` first: files in the store need no requests",
            )


def coalesced(spans: Sequence[Span]) -> list[Span]:
    """Merges spans that are at most GAP bytes apart."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].stop + GAP:
            found[-1] = Span(found[-1].start, max(found[-1].stop, span.stop))
        else:
            found.append(span)
    return found


def _cut(span: Span, blocks: dict[Span, bytes]) -> bytes:
    for block, data in blocks.items():
        if block.start <= span.start and span.stop <= block.stop:
            return data[span.start - block.start : span.stop - block.start]
    raise AssertionError("every span is in a block")
