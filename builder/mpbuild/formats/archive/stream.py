"""Reads byte streams in the amounts that a format asks for, and expands them in bounded pieces."""

from collections.abc import Iterable, Iterator
from lzma import LZMAError
from typing import NamedTuple, Protocol

from isal.igzip_lib import IsalError

from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.unsafe import UnsafeError

PIECE = 1 << 18
GATHERED = 1 << 16

_FIRST_SLICE = 1 << 14
_LARGEST_SLICE = 1 << 18


class Span(NamedTuple):
    """The bytes of a file from ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int


class ByteSource:
    """Chunks of bytes as one stream, without copies; ``position`` counts the bytes read."""

    __slots__ = ("_at", "_chunk", "_chunks", "position")

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self._at = 0
        self.position = 0

    @property
    def ended(self) -> bool:
        """Whether the stream is at its end."""
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = memoryview(chunk), 0
        return False

    def some(self, most: int) -> memoryview:
        """The next bytes, up to ``most``; empty only at the end."""
        if self.ended:
            return memoryview(b"")
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def unread(self, count: int) -> None:
        """Puts back the last ``count`` bytes of the last ``some``."""
        self._at -= count
        self.position -= count

    def span(self, count: int) -> Iterator[memoryview]:
        """The next ``count`` bytes in pieces; raises UnsafeError if fewer are left."""
        end = self.position + count
        while self.position < end:
            piece = self.some(min(end - self.position, PIECE))
            if not piece:
                raise UnsafeError(f"truncated: {end - self.position} bytes are missing")
            yield piece

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes at once; raises UnsafeError if fewer are left."""
        return b"".join(self.span(count))

    def skip(self, count: int) -> None:
        """Skips the next ``count`` bytes; raises UnsafeError if fewer are left."""
        for _ in self.span(count):
            pass


def at_most(chunks: Iterable[Buffer], limit: int) -> Iterator[Buffer]:
    """``chunks``, up to ``limit`` bytes in all; raises UnsafeError beyond that.

    An archive's own declaration of its size is not trusted.
    """
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise UnsafeError(f"inflates to more than {limit} bytes")
        yield chunk


def gathered(chunks: Iterable[Buffer], least: int = GATHERED) -> Iterator[Buffer]:
    """The same bytes in fewer chunks: joins small ones until they have ``least`` bytes.

    Hashing and writing cost per call, and most files are small.
    """
    held: list[Buffer] = []
    total = 0
    for chunk in chunks:
        size = len(chunk)
        if size < least:
            held.append(chunk)
            total += size
            if total < least:
                continue
        if held:
            yield b"".join(held)
            held.clear()
            total = 0
        if size >= least:
            yield chunk
    if held:
        yield b"".join(held)


class Decompressor(Protocol):
    """An incremental decompressor, as isal and the standard library have them."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more output needs more input."""

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the stream."""

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Takes ``data``; gives at most ``max_length`` bytes."""


def expand(decompressor: Decompressor, source: ByteSource, most: int = PIECE) -> Iterator[bytes]:
    """Expands one compressed stream in pieces of at most ``most`` bytes.

    ``source`` stops at its end. Input slices grow with the stream, so that little is unread after a
    short one.
    """
    taken = _FIRST_SLICE
    while not decompressor.eof:
        given = memoryview(b"")
        if decompressor.needs_input:
            given = source.some(taken)
            taken = min(2 * taken, _LARGEST_SLICE)
            if not given:
                raise UnsafeError("truncated compressed stream")
        try:
            piece = decompressor.decompress(given, most)
        except (IsalError, LZMAError) as error:  # type: ignore[misc]  # isal's stub
            raise UnsafeError(f"corrupt compressed stream: {error}") from error
        if piece:
            yield piece
    source.unread(len(decompressor.unused_data))
