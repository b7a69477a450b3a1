"""xz files (the .xz file format 1.1), read only: Debian packages hold them."""

from collections.abc import Iterator
from lzma import FORMAT_XZ, LZMADecompressor

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.stream import ByteSource, expand
from mpbuild.formats.archive.unsafe import UnsafeError


def decompress(data: Buffer) -> Iterator[bytes]:
    """The content of exactly one stream in bounded pieces; raise UnsafeError where it is broken.

    A stream that takes more than 128 MiB to read (``xz -9`` takes 65) is refused.
    """
    source = ByteSource((data,))
    yield from expand(LZMADecompressor(FORMAT_XZ, memlimit=limits.XZ_MEMORY_BYTES), source)
    if not source.ended:
        raise UnsafeError("bytes follow the end of the xz stream")
