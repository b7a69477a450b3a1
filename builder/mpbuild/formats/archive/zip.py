"""Reads zip archives (APPNOTE.TXT 6.3.10) strictly and without copies.

Accounts for every byte: entries are contiguous from the first byte to the central directory, which
extends to the end record, which ends the archive. Local headers and data descriptors must agree
with the central directory. So all readers find the same files.
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
_NOTHING = b"\3\0"  # no bytes, DEFLATEd: some archivers write it for a directory


class ZipEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory: its metadata and its ``raw``, perhaps compressed, bytes.

    ``size`` (in bytes) and ``crc`` are those of the content; ``executable`` is all of its mode.
    """

    name: str
    raw: memoryview
    stored: bool
    size: int
    crc: int
    executable: bool
    is_directory: bool

    def inflated(self) -> Iterator[Buffer]:
        """The content in pieces; raises UnsafeError for a wrong size, CRC or end of stream."""
        if self.stored:
            yield self.checked()
            return
        try:
            yield from gzip.inflate(self.raw, self.size, self.crc)
        except UnsafeError as error:
            raise error.within(self.name) from error

    def checked(self) -> memoryview:
        """The content of a stored entry; raises UnsafeError for a wrong CRC."""
        found = deflate.crc32(self.raw)
        if found != self.crc:
            raise UnsafeError(
                f"CRC-32 is {found:08x}, not the declared {self.crc:08x}",
                where=self.name,
            )
        return self.raw


def read_archive(data: Buffer) -> tuple[ZipEntry, ...]:
    """The entries in the order of the central directory; does not inflate contents.

    Raises UnsafeError for an archive that two readers could read differently, encryption, methods
    other than stored and DEFLATE, links and devices, and unsafe paths.
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
    """Checks that the entries make one safe tree; raises UnsafeError."""
    check_tree(
        TarEntry(
            safe_path(header.name.removesuffix("/")),
            "directory" if header.is_directory else "file",
            0,
        )
        for header in headers
    )


def read_entry(piece: Buffer, header: CentralHeader) -> ZipEntry:
    """The entry in ``piece``, the archive's bytes up to the next entry or the directory."""
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
    """The packed bytes; checks the local header, and that ``view`` holds nothing else."""
    name_start, end = _LOCAL.size, len(view)
    if name_start > end:
        raise UnsafeError("overlaps the next entry or the central directory", where=header.name)
    magic, _, flags, method, _, _, *numbers = _LOCAL.unpack_from(view)
    crc, packed, size, name_size, extra_size = numbers
    extra_start = name_start + name_size
    start = extra_start + extra_size
    stop = start + header.packed
    if stop > end:
        raise UnsafeError("overlaps the next entry or the central directory", where=header.name)
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
        raise UnsafeError("local header and central directory disagree", where=header.name)
    if stop < end or streamed:
        _check_descriptor(view[stop:end], header)
    raw = view[start:stop]
    if header.is_directory and raw not in (b"", _NOTHING):
        raise UnsafeError("directory with content", where=header.name)
    return raw


def _blank_or_same(found: Sequence[int], known: Sequence[int]) -> bool:
    return all(ours in (0, theirs) for ours, theirs in zip(found, known, strict=True))


def _check_descriptor(rest: memoryview, header: CentralHeader) -> None:
    if not header.flags & STREAMED or rest not in tuple(_descriptors(header)):
        raise UnsafeError("stray bytes after the entry", where=header.name)


def _descriptors(header: CentralHeader) -> Iterator[bytes]:
    """The valid forms of the data descriptor (section 4.3.9)."""
    for form in ("<3L", "<LQQ"):
        if form == "<3L" and max(header.packed, header.size) > ALL_ONES:
            continue
        descriptor = struct.pack(form, header.crc, header.packed, header.size)
        yield descriptor
        yield _DESCRIPTOR_MAGIC + descriptor
