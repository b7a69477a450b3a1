"""Parts of a file that nobody wants whole: by HTTP range requests (RFC 9110, section 14) or seek.

Nothing here can be checked against the file's digest, which only the whole file has: what is read
is as true as the server is.
"""

import threading
from collections.abc import Sequence

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, MpbuildError
from mpbuild.effects.http.client import Body, Web
from mpbuild.effects.http.file_request import FileRequest, mismatch
from mpbuild.effects.http.urls import shown
from mpbuild.formats.archive.stream import Span

GAP = 4 << 10
"""Spans so many bytes apart or less are asked for together: a request costs as much."""


class Meter:
    """How many bytes came of how many requests; threads share it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.requests = 0
        self._lock = threading.Lock()

    def count(self, size: int) -> None:
        """One more request, which gave ``size`` bytes."""
        with self._lock:
            self.bytes += size
            self.requests += 1


class RangedFile:
    """A file of a known size that is read in parts, from the first of its addresses that gives it.

    Raises EnvironmentFailureError: content-mismatch where the server has another file, fetch-failed
    where it gives no parts.
    """

    def __init__(self, request: FileRequest, web: Web, meter: Meter) -> None:
        self.size = request.size
        self._request = request
        self._web = web
        self._meter = meter

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span, in their order; what lies close together is read at once."""
        blocks = {block: self._block(block) for block in coalesced(spans)}
        return [_cut(span, blocks) for span in spans]

    def _block(self, block: Span) -> bytes:
        if not 0 <= block.start <= block.stop <= self.size:
            raise EnvironmentFailureError(
                f"it has {self.size} bytes, and {block.start} to {block.stop} are wanted",
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
        raise (failed or EnvironmentFailureError("no address is known for it")).within(
            self._request.name
        )

    def _part(self, url: str, block: Span) -> bytes:
        with self._web.open(url, block.start, block.stop - 1) as body:
            self._check(body, block, url)
            found = bytearray()
            for chunk in body.chunks:
                found += chunk
                if len(found) >= block.stop - block.start:
                    break
        self._meter.count(len(found))
        # A file on disk goes on behind the span; a server would lie.
        size = block.stop - block.start
        if len(found) < size or (len(found) > size and not url.startswith("file:")):
            raise mismatch(f"it gave {len(found)} bytes where {size} were asked for", url)
        return bytes(found[:size])

    def _check(self, body: Body, block: Span, url: str) -> None:
        if body.total not in (None, self.size):
            raise mismatch(f"it has {body.total} bytes and must have {self.size}", url)
        if body.start != block.start:
            raise EnvironmentFailureError(
                "the server gives files whole or not at all",
                where=shown(url),
                hint="run `mpbuild fetch` first: what is in the store is looked at there",
            )


def coalesced(spans: Sequence[Span]) -> list[Span]:
    """The fewest spans that hold all of ``spans``, with no more than GAP bytes wasted between."""
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
