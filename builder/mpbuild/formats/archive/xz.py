"""Decompresses xz files (the .xz file format 1.1), which Debian packages contain."""

from collections.abc import Iterator
from lzma import FORMAT_XZ, LZMADecompressor

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.stream import ByteSource, expand
from mpbuild.formats.archive.unsafe import UnsafeError


def decompress(data: Buffer) -> Iterator[bytes]:
    """The content of exactly one stream, in bounded pieces.

    Raises UnsafeError for a corrupt stream and one that needs more memory than base/limits allows.
    """
    source = ByteSource((data,))
    yield from expand(LZMADecompressor(FORMAT_XZ, memlimit=limits.XZ_MEMORY_BYTES), source)
    if not source.ended:
        raise UnsafeError("trailing bytes after the xz stream")
