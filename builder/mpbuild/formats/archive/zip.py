"""The zip archive round a wheel (APPNOTE.TXT 6.3.10), read strictly and without copying.

Every byte is accounted for: entries follow each other from the first byte to the central
directory, that runs to the end record, and the end record to the last byte. Local headers and
data descriptors say what the central directory says. So all readers find the same files.
"""

import stat
import struct
from collections.abc import Iterable, Iterator, Sequence

import deflate
import msgspec

from mpbuild.base.digest import Buffer
from mpbuild.formats.archive import gzip
from mpbuild.formats.archive.tar import TarEntry
from mpbuild.formats.archive.tree import check_tree, safe_path
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip_directory import (
    ALL_ONES,
    STORED,
    STREAMED,
    CentralHeader,
    ends,
    find_directory,
    read_headers,
    widened,
)

_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC, _DESCRIPTOR_MAGIC = b"PK\3\4", b"PK\7\x08"
_NOTHING = b"\3\0"  # DEFLATEd: what some archivers write for a directory


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


def read_archive(data: Buffer) -> tuple[ZipEntry, ...]:
    """The entries in the order of the central directory; contents are not inflated yet.

    Raise UnsafeError where two readers could disagree about the archive, and on encryption,
    methods other than stored and DEFLATE, links and devices, and paths that no layer may hold.
    """
    view = memoryview(data)
    directory = find_directory(view, len(view))
    headers = read_headers(view[directory.start : directory.start + directory.size], directory)
    stops = ends(headers, directory.start)
    entries = tuple(
        read_entry(view[header.start : stops[header.start]], header) for header in headers
    )
    check_paths(headers)
    return entries


def check_paths(headers: Iterable[CentralHeader]) -> None:
    """Raise UnsafeError where the entries can't stand in one tree, or no layer may hold one."""
    check_tree(
        TarEntry(
            safe_path(header.name.removesuffix("/")),
            "directory" if header.is_directory else "file",
            0,
        )
        for header in headers
    )


def read_entry(piece: Buffer, header: CentralHeader) -> ZipEntry:
    """The entry that ``piece`` holds: the archive's bytes up to the next entry or the directory."""
    raw = _raw(memoryview(piece), header)
    return ZipEntry(
        name=safe_path(header.name.removesuffix("/")),
        raw=raw,
        stored=header.method == STORED,
        size=header.size,
        crc=header.crc,
        executable=bool(header.mode & 0o111) and stat.S_ISREG(header.mode),
        is_directory=header.is_directory,
    )


def _raw(view: memoryview, header: CentralHeader) -> memoryview:
    """The packed bytes, once the local header agrees and nothing else stands in ``view``."""
    name_start, end = _LOCAL.size, len(view)
    if name_start > end:
        raise UnsafeError("it overlaps what follows", where=header.name)
    magic, _, flags, method, _, _, *numbers = _LOCAL.unpack_from(view)
    crc, packed, size, name_size, extra_size = numbers
    extra_start = name_start + name_size
    start = extra_start + extra_size
    stop = start + header.packed
    if stop > end:
        raise UnsafeError("it overlaps what follows", where=header.name)
    if start > extra_start or ALL_ONES in (packed, size):
        size, packed = widened(bytes(view[extra_start:start]), (size, packed), header.name)
    known, found = (header.crc, header.packed, header.size), (crc, packed, size)
    streamed = bool(header.flags & STREAMED)
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
    if header.is_directory and raw not in (b"", _NOTHING):
        raise UnsafeError("a directory with content", where=header.name)
    return raw


def _blank_or_same(found: Sequence[int], known: Sequence[int]) -> bool:
    return all(ours in (0, theirs) for ours, theirs in zip(found, known, strict=True))


def _check_descriptor(rest: memoryview, header: CentralHeader) -> None:
    if not header.flags & STREAMED or rest not in tuple(_descriptors(header)):
        raise UnsafeError("bytes that are of no entry follow it", where=header.name)


def _descriptors(header: CentralHeader) -> Iterator[bytes]:
    """Section 4.3.9: the forms that a data descriptor may have."""
    for form in ("<3L", "<LQQ"):
        if form == "<3L" and max(header.packed, header.size) > ALL_ONES:
            continue
        descriptor = struct.pack(form, header.crc, header.packed, header.size)
        yield descriptor
        yield _DESCRIPTOR_MAGIC + descriptor
