"""The central directory of a zip archive (APPNOTE.TXT 6.3.10), read strictly and by itself.

It stands at the end of the file and tells of every entry: its name, its sizes, its CRC-32 and
where it begins. Whoever has the end of an archive, and no more, can read it.
"""

import stat
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.unsafe import UnsafeError

ALL_ONES = 0xFFFFFFFF
STORED, DEFLATED = 0, 8
STREAMED = 1 << 3

_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_CENTRAL_MAGIC, _END_MAGIC = b"PK\1\2", b"PK\5\6"
_LOCATOR_MAGIC, _WIDE_END_MAGIC = b"PK\6\7", b"PK\6\6"
_LONGEST_COMMENT = 0xFFFF

LONGEST_TAIL = _END.size + _LONGEST_COMMENT + _LOCATOR.size + _WIDE_END.size
"""So many bytes at the end of an archive hold its end records, whatever its comment."""

# Section 4.4.5: what archivers write beside these, for messages.
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_UTF8 = 1 << 11
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_UNDERSTOOD = 1 << 1 | 1 << 2 | STREAMED | _UTF8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075


class CentralDirectory(NamedTuple):
    """Where the central directory stands, its bytes, and how many entries it has."""

    start: int
    size: int
    entries: int


class CentralHeader(NamedTuple):
    """One header of the central directory."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    start: int

    @property
    def is_directory(self) -> bool:
        """Whether it is of a folder."""
        return self.name.endswith("/")


def find_directory(tail: Buffer, size: int) -> CentralDirectory:
    """Sections 4.3.14 to 4.3.16: the end records in the last bytes of an archive of ``size`` bytes.

    ``tail`` with LONGEST_TAIL bytes, or the whole archive, is enough; with less, an archive with a
    long comment is refused.
    """
    last = bytes(memoryview(tail)[-LONGEST_TAIL:])
    found = last.rfind(_END_MAGIC, max(len(last) - _END.size - _LONGEST_COMMENT, 0))
    if not 0 <= found <= len(last) - _END.size:
        raise UnsafeError("not a zip archive: it has no end record")
    _, disk, first, here, count, length, start, comment = _END.unpack_from(last, found)
    if found + _END.size + comment != len(last):
        raise UnsafeError("the zip archive does not end where its end record says")
    if disk or first or here != count:
        raise UnsafeError("a zip archive of several parts")
    directory = CentralDirectory(start, length, count)
    end = size - len(last) + found
    locator = last[max(found - _LOCATOR.size, 0) : found]
    if locator.startswith(_LOCATOR_MAGIC):
        end -= _LOCATOR.size + _WIDE_END.size
        directory = _wide_directory(last, end, size - len(last), locator, directory)
    if directory.start + directory.size != end:
        raise UnsafeError("the central directory does not end where the end record begins")
    if directory.size > limits.ZIP_DIRECTORY_BYTES:
        raise UnsafeError(f"a central directory of {directory.size} bytes")
    return directory


def _wide_directory(
    last: bytes, at: int, before: int, locator: bytes, narrow: CentralDirectory
) -> CentralDirectory:
    """The ZIP64 end record, which stands in front of its locator and agrees with the other.

    ``at`` is its place in the archive, of which ``before`` bytes stand before ``last``.
    """
    _, locator_disk, start, disks = _LOCATOR.unpack(locator)
    if at < before or start != at or locator_disk or disks > 1:
        raise UnsafeError("the ZIP64 end record is not where it should be")
    magic, length, _, _, disk, first, here, *rest = _WIDE_END.unpack_from(last, at - before)
    wide = CentralDirectory(entries=rest[0], size=rest[1], start=rest[2])
    if magic != _WIDE_END_MAGIC or length != _WIDE_END.size - 12 or disk or first:
        raise UnsafeError("a malformed ZIP64 end record")
    for ours, theirs, unsaid in zip(wide, narrow, (ALL_ONES, ALL_ONES, 0xFFFF), strict=True):
        if theirs not in (ours, unsaid):
            raise UnsafeError("the two end records of the zip archive disagree")
    if here != wide.entries:
        raise UnsafeError("a zip archive of several parts")
    return wide


def read_headers(block: Buffer, directory: CentralDirectory) -> tuple[CentralHeader, ...]:
    """Section 4.3.12: as many headers as the end record says, and nothing else, in ``block``."""
    data = bytes(block)
    if _END_MAGIC in data:
        raise UnsafeError("the zip archive has a second end record")
    headers: list[CentralHeader] = []
    at = 0
    while at < len(data):
        header, at = _header(data, at)
        headers.append(header)
    if len(headers) != directory.entries:
        raise UnsafeError(f"{len(headers)} entries instead of the {directory.entries} announced")
    return tuple(headers)


def ends(headers: Sequence[CentralHeader], end: int) -> dict[int, int]:
    """Where the next entry begins, for each start; ``end`` is where the directory begins."""
    starts = sorted(header.start for header in headers)
    if starts and starts[0]:
        raise UnsafeError(f"{starts[0]} bytes stand before the first entry")
    found = dict(zip(starts, [*starts[1:], end], strict=True))
    if len(found) != len(headers):
        raise UnsafeError("two entries share their bytes")
    return found


def _header(block: bytes, at: int) -> tuple[CentralHeader, int]:
    if len(block) - at < _CENTRAL.size:
        raise UnsafeError("the central directory is cut off")
    magic, _, _, flags, method, _, _, *numbers = _CENTRAL.unpack_from(block, at)
    crc, packed, size, name_size, extra_size, comment_size, disk, _, attributes, start = numbers
    at += _CENTRAL.size
    end = at + name_size + extra_size + comment_size
    if magic != _CENTRAL_MAGIC or end > len(block) or disk:
        raise UnsafeError("a malformed header in the central directory")
    raw_name = block[at : at + name_size]
    name = _name(raw_name, flags)
    extra = block[at + name_size : at + name_size + extra_size]
    size, packed, start = widened(extra, (size, packed, start), name)
    header = CentralHeader(
        name, raw_name, flags, method, crc, packed, size, attributes >> 16, start
    )
    _check(header)
    return header, end


def _name(raw: bytes, flags: int) -> str:
    """Appendix D: UTF-8 where bit 11 says so; what is beyond ASCII has no one reading else."""
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise UnsafeError(f"the name {raw[:200]!r} is neither ASCII nor marked UTF-8") from error


def widened(extra: bytes, values: Sequence[int], name: str) -> list[int]:
    """Section 4.5.3: the ZIP64 field holds the values that are all ones, in this order.

    Bazel's zipper repeats in it what the header has as well; then the two must agree.
    """
    if not extra and ALL_ONES not in values:
        return list(values)
    field = _extra_fields(extra, name).get(_ZIP64, b"")
    wide = [number for (number,) in struct.iter_unpack("<Q", field[: len(field) & ~7])]
    if len(field) == 8 * values.count(ALL_ONES):
        missing = iter(wide)
        return [next(missing) if value == ALL_ONES else value for value in values]
    repeated = [*wide, *values[len(wide) :]]
    agree = all(value in (ours, ALL_ONES) for value, ours in zip(values, repeated, strict=False))
    unsaid = ALL_ONES in values[len(wide) :]
    if len(field) % 8 or len(repeated) != len(values) or unsaid or not agree:
        raise UnsafeError("its ZIP64 field and its header disagree", where=name)
    return repeated


def _extra_fields(extra: bytes, name: str) -> Mapping[int, bytes]:
    """Section 4.5.1; a field that gives the entry another name is refused."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        kind, size = struct.unpack_from("<HH", extra.ljust(at + 4, b"\xff"), at)
        if at + 4 + size > len(extra) or kind in fields or kind == _UNICODE_PATH:
            raise UnsafeError("malformed or misleading extra fields", where=name)
        fields[kind] = extra[at + 4 : at + 4 + size]
        at += 4 + size
    return fields


def _check(header: CentralHeader) -> None:
    if header.flags & _ENCRYPTED:
        raise UnsafeError("it is encrypted", where=header.name)
    if header.flags & ~_UNDERSTOOD:
        raise UnsafeError(f"the flags {header.flags:#x} are not understood", where=header.name)
    if header.method not in (STORED, DEFLATED):
        method = _METHODS.get(header.method, f"method {header.method}")
        raise UnsafeError(f"compressed by {method}; wheels use DEFLATE", where=header.name)
    if header.method == STORED and header.packed != header.size:
        raise UnsafeError(f"stored, yet {header.packed} bytes for {header.size}", where=header.name)
    if header.is_directory and (header.size or header.crc):
        raise UnsafeError("a directory with content", where=header.name)
    # Not every archiver gives a type; what Unix gives must be the one that the name says.
    if stat.S_IFMT(header.mode) not in (0, stat.S_IFDIR if header.is_directory else stat.S_IFREG):
        kind = "a symbolic link" if stat.S_ISLNK(header.mode) else "no regular file"
        raise UnsafeError(f"it is {kind}", where=header.name)
