"""Streams of bytes: taken in the amounts a format asks for, expanded in bounded pieces."""

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
    """Bytes of a file from ``start`` up to ``stop``."""

    start: int
    stop: int


class ByteSource:
    """Chunks of bytes, read on as one stream without copying; ``position`` counts what is read."""

    __slots__ = ("_at", "_chunk", "_chunks", "position")

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self._at = 0
        self.position = 0

    @property
    def ended(self) -> bool:
        """Whether no byte is left."""
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = memoryview(chunk), 0
        return False

    def some(self, most: int) -> memoryview:
        """The next bytes, up to ``most``; none only at the end."""
        if self.ended:
            return memoryview(b"")
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def unread(self, count: int) -> None:
        """Put back the last ``count`` bytes of what ``some`` gave last."""
        self._at -= count
        self.position -= count

    def span(self, count: int) -> Iterator[memoryview]:
        """The next ``count`` bytes in pieces; raise UnsafeError where fewer are left."""
        end = self.position + count
        while self.position < end:
            piece = self.some(min(end - self.position, PIECE))
            if not piece:
                raise UnsafeError(f"cut off: {end - self.position} more bytes are announced")
            yield piece

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes as one; raise UnsafeError where fewer are left."""
        return b"".join(self.span(count))

    def skip(self, count: int) -> None:
        """Leave out the next ``count`` bytes."""
        for _ in self.span(count):
            pass


def at_most(chunks: Iterable[Buffer], limit: int) -> Iterator[Buffer]:
    """``chunks``, unless they inflate beyond all measure; raise UnsafeError after ``limit`` bytes.

    What an archive says of its own size is no measure.
    """
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise UnsafeError(f"inflates to more than {limit} bytes")
        yield chunk


def gathered(chunks: Iterable[Buffer], least: int = GATHERED) -> Iterator[Buffer]:
    """The same bytes in fewer chunks: small ones are joined until they have ``least`` bytes.

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
    """What the incremental decompressors of isal and of the standard library have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was seen."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before something goes in."""

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the stream."""

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Take ``data``, give at most ``max_length`` bytes."""


def expand(decompressor: Decompressor, source: ByteSource, most: int = PIECE) -> Iterator[bytes]:
    """One compressed stream in pieces of at most ``most`` bytes; ``source`` stops at its end.

    Slices grow as a stream turns out to be long, so that little is taken back after a short one.
    """
    taken = _FIRST_SLICE
    while not decompressor.eof:
        given = memoryview(b"")
        if decompressor.needs_input:
            given = source.some(taken)
            taken = min(2 * taken, _LARGEST_SLICE)
            if not given:
                raise UnsafeError("the compressed stream is cut off")
        try:
            piece = decompressor.decompress(given, most)
        except (IsalError, LZMAError) as error:  # type: ignore[misc]  # isal's stub
            raise UnsafeError(f"the compressed stream is broken: {error}") from error
        if piece:
            yield piece
    source.unread(len(decompressor.unused_data))
