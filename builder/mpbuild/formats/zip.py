"""The zip archive round a wheel (APPNOTE.TXT 6.3.10), read strictly and without copying.

Every byte is accounted for: entries follow each other from the first byte to the central
directory, that runs to the end record, and the end record to the last byte. Local headers and
data descriptors say what the central directory says. So all readers find the same files.
"""

import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import deflate
import msgspec

from mpbuild.base.digest import Buffer
from mpbuild.formats import gzip
from mpbuild.formats.tar import Entry, check_tree, safe_path
from mpbuild.formats.unsafe import UnsafeError

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_LOCATOR_MAGIC, _WIDE_END_MAGIC, _DESCRIPTOR_MAGIC = b"PK\6\7", b"PK\6\6", b"PK\7\x08"
_LONGEST_COMMENT = 0xFFFF
_LARGEST_DIRECTORY = 64 << 20
_ALL_ONES = 0xFFFFFFFF

_STORED, _DEFLATED = 0, 8
# Section 4.4.5: what archivers write beside these, for messages.
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_STREAMED, _UTF8 = 1 << 3, 1 << 11
_NOTHING = b"\3\0"  # DEFLATEd: what some archivers write for a directory
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_UNDERSTOOD = 1 << 1 | 1 << 2 | _STREAMED | _UTF8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075


class ZipEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file or directory: what the archive says of it, and its ``raw`` bytes as they stand.

    ``size`` and ``crc`` are those of the content; ``executable`` is the only mode there is.
    """

    name: str
    raw: memoryview
    stored: bool
    size: int
    crc: int
    executable: bool
    is_directory: bool

    def inflated(self) -> Iterator[Buffer]:
        """The content in pieces; raise UnsafeError where size, CRC or end of stream differ."""
        if self.stored:
            yield self.checked()
            return
        try:
            yield from gzip.inflate(self.raw, self.size, self.crc)
        except UnsafeError as error:
            raise error.within(self.name) from error

    def checked(self) -> memoryview:
        """The content of a stored entry; raise UnsafeError where its CRC differs."""
        found = deflate.crc32(self.raw)
        if found != self.crc:
            raise UnsafeError(
                f"its CRC-32 is {found:08x} instead of the {self.crc:08x} announced",
                where=self.name,
            )
        return self.raw


class _Directory(NamedTuple):
    """Where the central directory stands, and how many entries it has."""

    start: int
    size: int
    entries: int


class _Header(NamedTuple):
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


def read_archive(data: Buffer) -> tuple[ZipEntry, ...]:
    """The entries in the order of the central directory; contents are not inflated yet.

    Raise UnsafeError where two readers could disagree about the archive, and on encryption,
    methods other than stored and DEFLATE, links and devices, and paths that no layer may hold.
    """
    view = memoryview(data)
    directory = _find_directory(view)
    headers = _headers(view, directory)
    ends = _ends(headers, directory.start)
    entries = tuple(_entry(header, _raw(view, header, ends[header.start])) for header in headers)
    check_tree(
        Entry(entry.name, "directory" if entry.is_directory else "file", 0) for entry in entries
    )
    return entries


def _find_directory(view: memoryview) -> _Directory:
    """Sections 4.3.14 to 4.3.16: the end records, which end the file."""
    tail = bytes(view[-(_END.size + _LONGEST_COMMENT) :])
    found = tail.rfind(_END_MAGIC)
    if not 0 <= found <= len(tail) - _END.size:
        raise UnsafeError("not a zip archive: it has no end record")
    _, disk, first, here, count, size, start, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail):
        raise UnsafeError("the zip archive does not end where its end record says")
    if disk or first or here != count:
        raise UnsafeError("a zip archive of several parts")
    directory = _Directory(start, size, count)
    end = len(view) - len(tail) + found
    locator = bytes(view[max(end - _LOCATOR.size, 0) : end])
    if locator.startswith(_LOCATOR_MAGIC):
        end -= _LOCATOR.size + _WIDE_END.size
        directory = _wide_directory(view, end, locator, directory)
    if directory.start + directory.size != end:
        raise UnsafeError("the central directory does not end where the end record begins")
    return directory


def _wide_directory(view: memoryview, at: int, locator: bytes, narrow: _Directory) -> _Directory:
    """The ZIP64 end record, which stands in front of its locator and agrees with the other."""
    _, locator_disk, start, disks = _LOCATOR.unpack(locator)
    if at < 0 or start != at or locator_disk or disks > 1:
        raise UnsafeError("the ZIP64 end record is not where it should be")
    magic, length, _, _, disk, first, here, *rest = _WIDE_END.unpack_from(view, at)
    wide = _Directory(entries=rest[0], size=rest[1], start=rest[2])
    if magic != _WIDE_END_MAGIC or length != _WIDE_END.size - 12 or disk or first:
        raise UnsafeError("a malformed ZIP64 end record")
    for ours, theirs, unsaid in zip(wide, narrow, (_ALL_ONES, _ALL_ONES, 0xFFFF), strict=True):
        if theirs not in (ours, unsaid):
            raise UnsafeError("the two end records of the zip archive disagree")
    if here != wide.entries:
        raise UnsafeError("a zip archive of several parts")
    return wide


def _headers(view: memoryview, directory: _Directory) -> list[_Header]:
    """Section 4.3.12: as many headers as the end record says, and nothing else."""
    if directory.size > _LARGEST_DIRECTORY:
        raise UnsafeError(f"a central directory of {directory.size} bytes")
    block = bytes(view[directory.start : directory.start + directory.size])
    if _END_MAGIC in block:
        raise UnsafeError("the zip archive has a second end record")
    headers: list[_Header] = []
    at = 0
    while at < len(block):
        header, at = _header(block, at)
        headers.append(header)
    if len(headers) != directory.entries:
        raise UnsafeError(f"{len(headers)} entries instead of the {directory.entries} announced")
    return headers


def _header(block: bytes, at: int) -> tuple[_Header, int]:
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
    size, packed, start = _widened(extra, (size, packed, start), name)
    header = _Header(name, raw_name, flags, method, crc, packed, size, attributes >> 16, start)
    _check(header)
    return header, end


def _name(raw: bytes, flags: int) -> str:
    """Appendix D: UTF-8 where bit 11 says so; what is beyond ASCII has no one reading else."""
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise UnsafeError(f"the name {raw[:200]!r} is neither ASCII nor marked UTF-8") from error


def _widened(extra: bytes, values: Sequence[int], name: str) -> list[int]:
    """Section 4.5.3: the ZIP64 field holds the values that are all ones, in this order.

    Bazel's zipper repeats in it what the header has as well; then the two must agree.
    """
    if not extra and _ALL_ONES not in values:
        return list(values)
    field = _extra_fields(extra, name).get(_ZIP64, b"")
    wide = [number for (number,) in struct.iter_unpack("<Q", field[: len(field) & ~7])]
    if len(field) == 8 * values.count(_ALL_ONES):
        missing = iter(wide)
        return [next(missing) if value == _ALL_ONES else value for value in values]
    repeated = [*wide, *values[len(wide) :]]
    agree = all(value in (ours, _ALL_ONES) for value, ours in zip(values, repeated, strict=False))
    unsaid = _ALL_ONES in values[len(wide) :]
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


def _check(header: _Header) -> None:
    if header.flags & _ENCRYPTED:
        raise UnsafeError("it is encrypted", where=header.name)
    if header.flags & ~_UNDERSTOOD:
        raise UnsafeError(f"the flags {header.flags:#x} are not understood", where=header.name)
    if header.method not in (_STORED, _DEFLATED):
        method = _METHODS.get(header.method, f"method {header.method}")
        raise UnsafeError(f"compressed by {method}; wheels use DEFLATE", where=header.name)
    if header.method == _STORED and header.packed != header.size:
        raise UnsafeError(f"stored, yet {header.packed} bytes for {header.size}", where=header.name)
    directory = header.name.endswith("/")
    if directory and (header.size or header.crc):
        raise UnsafeError("a directory with content", where=header.name)
    # Not every archiver gives a type; what Unix gives must be the one that the name says.
    if stat.S_IFMT(header.mode) not in (0, stat.S_IFDIR if directory else stat.S_IFREG):
        kind = "a symbolic link" if stat.S_ISLNK(header.mode) else "no regular file"
        raise UnsafeError(f"it is {kind}", where=header.name)


def _ends(headers: Sequence[_Header], end: int) -> dict[int, int]:
    """Where the next entry begins, for each start."""
    starts = sorted(header.start for header in headers)
    if starts and starts[0]:
        raise UnsafeError(f"{starts[0]} bytes stand before the first entry")
    ends = dict(zip(starts, [*starts[1:], end], strict=True))
    if len(ends) != len(headers):
        raise UnsafeError("two entries share their bytes")
    return ends


def _raw(view: memoryview, header: _Header, end: int) -> memoryview:
    """The packed bytes, once the local header agrees and nothing else stands up to ``end``."""
    name_start = header.start + _LOCAL.size
    if name_start > end:
        raise UnsafeError("it overlaps what follows", where=header.name)
    magic, _, flags, method, _, _, *numbers = _LOCAL.unpack_from(view, header.start)
    crc, packed, size, name_size, extra_size = numbers
    extra_start = name_start + name_size
    start = extra_start + extra_size
    stop = start + header.packed
    if stop > end:
        raise UnsafeError("it overlaps what follows", where=header.name)
    if start > extra_start or _ALL_ONES in (packed, size):
        size, packed = _widened(bytes(view[extra_start:start]), (size, packed), header.name)
    known, found = (header.crc, header.packed, header.size), (crc, packed, size)
    streamed = bool(header.flags & _STREAMED)
    agrees = (
        (magic, flags, method) == (_LOCAL_MAGIC, header.flags, header.method)
        and view[name_start:extra_start] == header.raw_name
        and (found == known or (streamed and _blank_or_same(found, known)))
    )
    if not agrees:
        raise UnsafeError("its local header and the central directory disagree", where=header.name)
    if stop < end or streamed:
        _check_descriptor(view[stop:end], header)
    raw = view[start:stop]
    if header.name.endswith("/") and raw not in (b"", _NOTHING):
        raise UnsafeError("a directory with content", where=header.name)
    return raw


def _blank_or_same(found: Sequence[int], known: Sequence[int]) -> bool:
    return all(ours in (0, theirs) for ours, theirs in zip(found, known, strict=True))


def _check_descriptor(rest: memoryview, header: _Header) -> None:
    if not header.flags & _STREAMED or rest not in tuple(_descriptors(header)):
        raise UnsafeError("bytes that are of no entry follow it", where=header.name)


def _descriptors(header: _Header) -> Iterator[bytes]:
    """Section 4.3.9: the forms that a data descriptor may have."""
    for form in ("<3L", "<LQQ"):
        if form == "<3L" and max(header.packed, header.size) > _ALL_ONES:
            continue
        descriptor = struct.pack(form, header.crc, header.packed, header.size)
        yield descriptor
        yield _DESCRIPTOR_MAGIC + descriptor


def _entry(header: _Header, raw: memoryview) -> ZipEntry:
    is_directory = header.name.endswith("/")
    return ZipEntry(
        name=safe_path(header.name.removesuffix("/")),
        raw=raw,
        stored=header.method == _STORED,
        size=header.size,
        crc=header.crc,
        executable=bool(header.mode & 0o111) and stat.S_ISREG(header.mode),
        is_directory=is_directory,
    )
