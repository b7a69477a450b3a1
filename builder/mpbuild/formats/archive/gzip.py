"""Reads and writes gzip members (RFC 1952); the bytes written here decide digests.

A member is a fixed header of ten bytes (no name, no time, unknown operating system), raw DEFLATE
(RFC 1951), CRC-32 and size modulo 2**32. A pinned libdeflate compresses everything. isal, which
reports where a stream ends, inflates; the output of inflaters can't differ.
"""

import struct
from collections.abc import Iterable, Iterator

import deflate
from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor, IsalError

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.formats.archive import fixed_deflate
from mpbuild.formats.archive.stream import PIECE, ByteSource, expand
from mpbuild.formats.archive.unsafe import UnsafeError

LEVEL = 6
_COMPRESSOR = f"deflate-0.9.0 level {LEVEL}"
CODEC = f"{_COMPRESSOR}, fixed 1"

_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 ff")
_TRAILER = struct.Struct("<LL")
_BLOCK = 0xFFFF
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_GOLDEN = Digest("sha256:83c0d3496b91eebd6df71c5796a67988f4063ecf1da58f958e08b3d8bced0230")


def compress(data: Buffer) -> bytes:
    """A member with ``data``, compressed by the pinned codec at the fixed level."""
    return _whole_member(deflate.deflate_compress(data, LEVEL), data)


def compress_header(data: bytes) -> bytes:
    """A member with ``data``, short and ASCII, in fixed codes; meant for tar headers."""
    return _whole_member(fixed_deflate.encode(data), data)


def stored(data: Buffer) -> Iterator[Buffer]:
    """A member of stored blocks (RFC 1951, section 3.2.4), which are slices of ``data``."""
    view = memoryview(data)
    crc = 0
    yield _HEADER
    for start in range(0, len(view) or 1, _BLOCK):
        block = view[start : start + _BLOCK]
        final = start + len(block) == len(view)
        crc = deflate.crc32(block, crc)
        yield struct.pack("<BHH", final, len(block), len(block) ^ 0xFFFF)
        yield block
    yield _trailer(crc, len(view))


def reuse(raw: Buffer, crc: int, size: int) -> tuple[Buffer, ...]:
    """A member around an existing raw DEFLATE stream, which only ``inflate`` checks."""
    return _HEADER, raw, _trailer(crc, size)


def inflate(raw: Buffer, size: int, crc: int) -> Iterator[bytes]:
    """Inflates a raw DEFLATE stream in bounded pieces, at most ``size`` bytes in all.

    Raises UnsafeError, at the latest after the last piece, unless ``raw`` is exactly one stream
    whose content has ``size`` bytes and the CRC-32 ``crc``. isal accepts some incomplete Huffman
    codes that zlib refuses: such a stream gives the same bytes, but an engine may refuse the layer.
    """
    if size < PIECE:
        yield _inflate_small(raw, size, crc)
        return
    source = ByteSource((raw,))
    found_size = found_crc = 0
    for piece in expand(_decompressor(), source, PIECE):
        found_size += len(piece)
        if found_size > size:
            raise UnsafeError(f"inflates to more than the declared {size} bytes")
        found_crc = deflate.crc32(piece, found_crc)
        yield piece
    _check_content(found_size, found_crc, size, crc, ended=source.ended)


def _inflate_small(raw: Buffer, size: int, crc: int) -> bytes:
    """``inflate`` in one call, since calls dominate the cost of small files."""
    decompressor = _decompressor()
    try:
        content = decompressor.decompress(raw, size + 1)
    except IsalError as error:  # type: ignore[misc]  # isal's stub
        raise UnsafeError(f"corrupt compressed stream: {error}") from error
    if len(content) > size:
        raise UnsafeError(f"inflates to more than the declared {size} bytes")
    if not decompressor.eof:
        raise UnsafeError("truncated compressed stream")
    ended = not decompressor.unused_data
    _check_content(len(content), deflate.crc32(content), size, crc, ended=ended)
    return content


def _check_content(found_size: int, found_crc: int, size: int, crc: int, *, ended: bool) -> None:
    if not ended:
        raise UnsafeError("trailing bytes after the compressed stream")
    if found_size != size:
        raise UnsafeError(f"inflates to {found_size} bytes, not the declared {size}")
    if found_crc != crc:
        raise UnsafeError(f"CRC-32 is {found_crc:08x}, not the declared {crc:08x}")


def decompress(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    """The content of a gzip file of one or more members, in bounded pieces.

    Raises UnsafeError for a corrupt member, a wrong CRC or size, or trailing bytes.
    """
    source = ByteSource(chunks)
    yield from _member(source)
    while not source.ended:
        yield from _member(source)


def prove() -> None:
    """Checks that the installed codec is the pinned one; raises EnvironmentFailureError."""
    installed = f"deflate-{deflate.__version__} level {LEVEL}"
    if installed != _COMPRESSOR or Digest.of(compress(_golden_vector())) != _GOLDEN:
        raise EnvironmentFailureError(
            f"the codec {installed} does not produce the bytes of {_COMPRESSOR}",
            code=Code.CONTENT_MISMATCH,
            hint="install the `deflate` wheel that mpbuild pins; digests depend on it",
        )


def _golden_vector() -> bytes:
    """Text, noise, a long run and a small alphabet: data for every kind of DEFLATE block."""
    numbers = [n * n * 2654435761 % 2**32 for n in range(1, 2001)]
    return b"".join(
        (
            b"".join(b"%d: %08x\n" % pair for pair in enumerate(numbers)),
            b"".join(n.to_bytes(4, "big") for n in numbers),
            bytes(20_000),
            bytes(n % 3 for n in numbers),
        )
    )


def _decompressor() -> IgzipDecompressor:
    return IgzipDecompressor(flag=DECOMP_DEFLATE)


def _whole_member(body: Buffer, data: Buffer) -> bytes:
    return b"".join((_HEADER, body, _trailer(deflate.crc32(data), len(data))))


def _trailer(crc: int, size: int) -> bytes:
    return _TRAILER.pack(crc, size & 0xFFFFFFFF)


def _member(source: ByteSource) -> Iterator[bytes]:
    _skip_header(source)
    size = crc = 0
    for piece in expand(_decompressor(), source):
        size += len(piece)
        crc = deflate.crc32(piece, crc)
        yield piece
    if source.exactly(8) != _trailer(crc, size):
        raise UnsafeError("wrong CRC-32 or size in a gzip member")


def _skip_header(source: ByteSource) -> None:
    """Skips a header (RFC 1952, section 2.3) and the optional fields that its flags declare."""
    read = source.exactly(10)
    flags = read[3]
    if read[:3] != _HEADER[:3] or flags & _RESERVED:
        raise UnsafeError("not a gzip member")
    if flags & _FEXTRA:
        length = source.exactly(2)
        read += length + source.exactly(int.from_bytes(length, "little"))
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            read += _text(source)
    if flags & _FHCRC and source.exactly(2) != struct.pack("<L", deflate.crc32(read))[:2]:
        raise UnsafeError("wrong CRC in a gzip header")


def _text(source: ByteSource) -> bytes:
    text = bytearray()
    while len(text) < limits.GZIP_TEXT_BYTES:
        text += source.exactly(1)
        if not text[-1]:
            return bytes(text)
    raise UnsafeError(f"a text in a gzip header is longer than {limits.GZIP_TEXT_BYTES} bytes")
