"""Reads the central directory of a zip archive (APPNOTE.TXT 6.3.10) strictly.

It is at the end of the archive and has the name, sizes, CRC-32 and start of every entry, so the
end of an archive is enough to read it.
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
"""The number of bytes at the end of an archive that are sure to hold its end records."""

# Other methods that archivers use (section 4.4.5), for messages.
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_UTF8 = 1 << 11
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_UNDERSTOOD = 1 << 1 | 1 << 2 | STREAMED | _UTF8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075


class CentralDirectory(NamedTuple):
    """The central directory: its start and size in bytes, and its number of entries."""

    start: int
    size: int
    entries: int


class CentralHeader(NamedTuple):
    """A header of the central directory."""

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
        """Whether the entry is a directory."""
        return self.name.endswith("/")


def find_directory(tail: Buffer, size: int) -> CentralDirectory:
    """Finds the directory by the end records (sections 4.3.14 to 4.3.16) in ``tail``.

    ``tail`` is the end of an archive of ``size`` bytes: LONGEST_TAIL bytes or all of it. Raises
    UnsafeError.
    """
    last = bytes(memoryview(tail)[-LONGEST_TAIL:])
    found = last.rfind(_END_MAGIC, max(len(last) - _END.size - _LONGEST_COMMENT, 0))
    if not 0 <= found <= len(last) - _END.size:
        raise UnsafeError("not a zip archive: no end record")
    _, disk, first, here, count, length, start, comment = _END.unpack_from(last, found)
    if found + _END.size + comment != len(last):
        raise UnsafeError("the zip archive does not end with its end record")
    if disk or first or here != count:
        raise UnsafeError("multi-part zip archive")
    directory = CentralDirectory(start, length, count)
    end = size - len(last) + found
    locator = last[max(found - _LOCATOR.size, 0) : found]
    if locator.startswith(_LOCATOR_MAGIC):
        end -= _LOCATOR.size + _WIDE_END.size
        directory = _wide_directory(last, end, size - len(last), locator, directory)
    if directory.start + directory.size != end:
        raise UnsafeError("the central directory does not end at the end record")
    if directory.size > limits.ZIP_DIRECTORY_BYTES:
        raise UnsafeError(
            f"central directory of {directory.size} bytes;"
            f" at most {limits.ZIP_DIRECTORY_BYTES} are allowed"
        )
    return directory


def _wide_directory(
    last: bytes, at: int, before: int, locator: bytes, narrow: CentralDirectory
) -> CentralDirectory:
    """The directory of the ZIP64 end record, which precedes its locator and agrees with ``narrow``.

    ``at`` is its position in the archive; ``last`` starts at ``before``.
    """
    _, locator_disk, start, disks = _LOCATOR.unpack(locator)
    if at < before or start != at or locator_disk or disks > 1:
        raise UnsafeError("misplaced ZIP64 end record")
    magic, length, _, _, disk, first, here, *rest = _WIDE_END.unpack_from(last, at - before)
    wide = CentralDirectory(entries=rest[0], size=rest[1], start=rest[2])
    if magic != _WIDE_END_MAGIC or length != _WIDE_END.size - 12 or disk or first:
        raise UnsafeError("malformed ZIP64 end record")
    for ours, theirs, unsaid in zip(wide, narrow, (ALL_ONES, ALL_ONES, 0xFFFF), strict=True):
        if theirs not in (ours, unsaid):
            raise UnsafeError("the end records of the zip archive disagree")
    if here != wide.entries:
        raise UnsafeError("multi-part zip archive")
    return wide


def read_headers(block: Buffer, directory: CentralDirectory) -> tuple[CentralHeader, ...]:
    """The headers in ``block`` (section 4.3.12), as many as ``directory`` has, and nothing else."""
    data = bytes(block)
    if _END_MAGIC in data:
        raise UnsafeError("second end record in the zip archive")
    headers: list[CentralHeader] = []
    at = 0
    while at < len(data):
        header, at = _header(data, at)
        headers.append(header)
    if len(headers) != directory.entries:
        raise UnsafeError(f"{len(headers)} entries, not the declared {directory.entries}")
    return tuple(headers)


def ends(headers: Sequence[CentralHeader], end: int) -> dict[int, int]:
    """The end of each entry, by its start; ``end`` is the start of the directory."""
    starts = sorted(header.start for header in headers)
    if starts and starts[0]:
        raise UnsafeError(f"{starts[0]} bytes before the first entry")
    found = dict(zip(starts, [*starts[1:], end], strict=True))
    if len(found) != len(headers):
        raise UnsafeError("overlapping entries")
    return found


def _header(block: bytes, at: int) -> tuple[CentralHeader, int]:
    if len(block) - at < _CENTRAL.size:
        raise UnsafeError("truncated central directory")
    magic, _, _, flags, method, _, _, *numbers = _CENTRAL.unpack_from(block, at)
    crc, packed, size, name_size, extra_size, comment_size, disk, _, attributes, start = numbers
    at += _CENTRAL.size
    end = at + name_size + extra_size + comment_size
    if magic != _CENTRAL_MAGIC or end > len(block) or disk:
        raise UnsafeError("malformed header in the central directory")
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
    """The name, UTF-8 if bit 11 is set, else ASCII; other encodings are ambiguous (appendix D)."""
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise UnsafeError(f"the name {raw[:200]!r} is neither ASCII nor marked as UTF-8") from error


def widened(extra: bytes, values: Sequence[int], name: str) -> list[int]:
    """``values``, those that are all ones taken from the ZIP64 field, in order (section 4.5.3).

    Bazel's zipper repeats other values of the header there; both must agree.
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
        raise UnsafeError("ZIP64 field and header disagree", where=name)
    return repeated


def _extra_fields(extra: bytes, name: str) -> Mapping[int, bytes]:
    """The extra fields (section 4.5.1); refuses one that gives the entry another name."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        kind, size = struct.unpack_from("<HH", extra.ljust(at + 4, b"\xff"), at)
        if at + 4 + size > len(extra) or kind in fields or kind == _UNICODE_PATH:
            raise UnsafeError("malformed or ambiguous extra fields", where=name)
        fields[kind] = extra[at + 4 : at + 4 + size]
        at += 4 + size
    return fields


def _check(header: CentralHeader) -> None:
    if header.flags & _ENCRYPTED:
        raise UnsafeError("encrypted", where=header.name)
    if header.flags & ~_UNDERSTOOD:
        raise UnsafeError(f"unknown flags {header.flags:#x}", where=header.name)
    if header.method not in (STORED, DEFLATED):
        method = _METHODS.get(header.method, f"method {header.method}")
        raise UnsafeError(f"compressed with {method}; wheels use DEFLATE", where=header.name)
    if header.method == STORED and header.packed != header.size:
        raise UnsafeError(
            f"stored, but {header.packed} bytes for a content of {header.size}", where=header.name
        )
    if header.is_directory and (header.size or header.crc):
        raise UnsafeError("directory with content", where=header.name)
    # Archivers may omit the file type; if present, it must agree with the name.
    if stat.S_IFMT(header.mode) not in (0, stat.S_IFDIR if header.is_directory else stat.S_IFREG):
        kind = "a symbolic link" if stat.S_ISLNK(header.mode) else "not a regular file"
        raise UnsafeError(f"is {kind}", where=header.name)
