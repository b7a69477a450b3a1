"""Reads the facts of a wheel from its bytes, fetching only the parts it needs.

The central directory has names, sizes and CRCs. Of the members it inflates only the metadata
and, as far as the limits allow, shared objects and modules, the smallest and the topmost first.
"""

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.message import Message
from email.parser import HeaderParser
from typing import NamedTuple, Protocol

from packaging.utils import canonicalize_name

from mpbuild.audit.module_imports import LARGEST_MODULE, ModuleGraph
from mpbuild.audit.wheel_facts import MemberFacts, WheelFacts
from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.derive.elf_needs import ElfFile
from mpbuild.derive.elf_scan import ElfScan
from mpbuild.derive.layers.layer import DeflateContent, LayerNode, StoredContent
from mpbuild.formats.archive.stream import Span
from mpbuild.formats.archive.tar import TarEntry
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip import ZipEntry, check_paths, read_entry
from mpbuild.formats.archive.zip_directory import (
    LONGEST_TAIL,
    CentralDirectory,
    CentralHeader,
    ends,
    find_directory,
    read_headers,
)

TAIL = 6 << 10
"""Bytes at the end of a wheel that are read first; most central directories fit."""

_MAGIC = b"\x7fELF"
_SHARED_OBJECT = re.compile(r".+\.so(\.[0-9]+)*")
_UNCHECKED = "-linux_x86_64"
_METADATA = ("METADATA", "WHEEL", "entry_points.txt")


class WheelSource(Protocol):
    """A wheel whose bytes can be read in parts."""

    @property
    def size(self) -> int:
        """The size of the wheel in bytes."""

    def read(self, spans: Sequence[Span], /) -> Sequence[Buffer]:
        """Returns the bytes of each span."""


class WholeWheel(NamedTuple):
    """A wheel in memory."""

    data: memoryview

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def read(self, spans: Sequence[Span], /) -> list[Buffer]:
        """Views of the spans."""
        return [self.data[span.start : span.stop] for span in spans]


class WheelContents(NamedTuple):
    """The name of a wheel's ``.dist-info`` folder, and its files by name."""

    dist_info: str
    files: Mapping[str, MemberFacts]


class ReadLimits(NamedTuple):
    """How many bytes of a wheel, as they stand in the archive, may be read; None for all.

    ``objects`` for shared objects, ``modules`` for Python's. Of a wheel that says itself that
    nobody checked which glibc it needs, twice as much of ``objects``.
    """

    objects: int | None = None
    modules: int | None = None


class WheelMembers:
    """The members of a wheel by name, fetched on demand."""

    def __init__(self, source: WheelSource) -> None:
        self._source = source
        start, tail, directory = self._found(TAIL)
        end = directory.start + directory.size
        if directory.start < start:
            (before,) = source.read([Span(directory.start, min(start, end))])
            block: Buffer = b"".join((before, memoryview(tail)[: max(end - start, 0)]))
        else:
            block = memoryview(tail)[directory.start - start : end - start]
        headers = read_headers(block, directory)
        check_paths(headers)
        self._ends = ends(headers, directory.start)
        self.headers: Mapping[str, CentralHeader] = {
            h.name: h for h in headers if not h.is_directory
        }

    def _found(self, length: int) -> tuple[int, Buffer, CentralDirectory]:
        """The offset of the tail that holds the end records, the tail, and the parsed records."""
        start = max(self._source.size - length, 0)
        (tail,) = self._source.read([Span(start, self._source.size)])
        try:
            return start, tail, find_directory(tail, self._source.size)
        except UnsafeError:
            if not start or length == LONGEST_TAIL:
                raise
            return self._found(LONGEST_TAIL)

    def read(self, names: Iterable[str]) -> list[ZipEntry]:
        """Reads members, in order, without inflating them."""
        headers = [self.headers[name] for name in names]
        pieces = self._source.read([Span(h.start, self._ends[h.start]) for h in headers])
        return [read_entry(piece, header) for piece, header in zip(pieces, headers, strict=True)]

    def packed(self, name: str) -> int:
        """The size of a member in the archive, in bytes."""
        return self.headers[name].packed


def read_directory(source: WheelSource) -> WheelContents:
    """Reads the central directory, which lists the files that a wheel installs."""
    headers = WheelMembers(source).headers
    return WheelContents(_dist_info(headers), _files(headers))


def read_facts(source: WheelSource, limits: ReadLimits) -> WheelFacts:
    """The facts of the wheel in ``source``; raise UnsafeError where it is no sound archive.

    The installer checks RECORD.
    """
    archive = WheelMembers(source)
    dist_info = _dist_info(archive.headers)
    texts = _texts(archive, dist_info)
    metadata = HeaderParser().parsestr(texts["METADATA"])
    tags = _all(HeaderParser().parsestr(texts["WHEEL"]), "Tag")
    unchecked = any(tag.endswith(_UNCHECKED) for tag in tags)
    objects, unread = _objects(archive, limits.objects and limits.objects * (1 + unchecked))
    requires = _all(metadata, "Requires-Dist")
    modules = ModuleGraph(archive.headers)
    if not requires:
        modules.follow(lambda names: _sources(archive, names), archive.packed, limits.modules)
    return WheelFacts(
        whole=limits == ReadLimits(),
        name=_first(metadata, "Name"),
        version=_first(metadata, "Version"),
        dist_info=dist_info,
        files=_files(archive.headers),
        tags=tags,
        requires=requires,
        extras=tuple(sorted(map(canonicalize_name, _all(metadata, "Provides-Extra")))),
        requires_python=_first(metadata, "Requires-Python"),
        scripts=_scripts(texts["entry_points.txt"]),
        elf=objects,
        unread=unread,
        imports=modules.imports,
        unparsed=modules.unparsed,
    )


def _files(headers: Mapping[str, CentralHeader]) -> dict[str, MemberFacts]:
    return {name: MemberFacts(header.size, header.crc) for name, header in headers.items()}


def _dist_info(headers: Mapping[str, CentralHeader]) -> str:
    folders = {name.partition("/")[0] for name in headers if "/" in name}
    found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
    if len(found) != 1:
        raise UnsafeError(f"expected one .dist-info folder; found {found[:3]}")
    return found[0]


def _texts(archive: WheelMembers, dist_info: str) -> dict[str, str]:
    names = [f"{dist_info}/{name}" for name in _METADATA]
    here = [name for name in names if name in archive.headers]
    for name in here:
        if archive.headers[name].size > limits.WHEEL_METADATA_BYTES:
            raise UnsafeError(
                f"{archive.headers[name].size} bytes of metadata are too many", where=name
            )
    found = {entry.name: _inflated(entry) for entry in archive.read(here)}
    for name in names[:2]:
        if name not in found:
            raise UnsafeError(f"the wheel has no {name}")
    return {name.rpartition("/")[2]: _decoded(found.get(name, b""), name) for name in names}


def _inflated(entry: ZipEntry) -> bytes:
    return b"".join(entry.inflated())


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UnsafeError("is not UTF-8", where=where) from error


def _all(headers: Message, key: str) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in headers.get_all(key, []))


def _first(headers: Message, key: str) -> str:
    return next(iter(_all(headers, key)), "")


def _scripts(text: str) -> tuple[str, ...]:
    """The names of scripts that installers generate; the build reports malformed files."""
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="\0", strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # Names keep their case.
    try:
        parser.read_string(text)
    except configparser.Error:
        return ()
    groups = (group for group in ("console_scripts", "gui_scripts") if parser.has_section(group))
    return tuple(sorted({name for group in groups for name in parser.options(group)}))


def _objects(archive: WheelMembers, limit: int | None) -> tuple[dict[str, ElfFile], dict[str, int]]:
    """What ELF files need and offer, by name, and the sizes of those that were not read.

    In a whole wheel any file may be one; where each read is a request, the name decides.
    """
    if limit is None:
        return _scanned(archive, sorted(archive.headers)), {}
    candidates = [name for name in archive.headers if _SHARED_OBJECT.fullmatch(name)]
    chosen: list[str] = []
    unread: dict[str, int] = {}
    for name in sorted(candidates, key=lambda name: (archive.packed(name), name)):
        if archive.packed(name) <= limit:
            limit -= archive.packed(name)
            chosen.append(name)
        else:
            unread[name] = archive.packed(name)
    return _scanned(archive, chosen), unread


def _scanned(archive: WheelMembers, names: Sequence[str]) -> dict[str, ElfFile]:
    scan = ElfScan()
    for entry in archive.read(names):
        content = (
            StoredContent(entry.raw)
            if entry.stored
            else DeflateContent(entry.raw, entry.size, entry.crc)
        )
        _scan(scan, LayerNode(TarEntry(entry.name, "file", 0o644, entry.size), content))
    return scan.needs().files


def _scan(scan: ElfScan, node: LayerNode) -> None:
    assert node.content is not None, "a file has content"
    scan.begin(node)
    start = b""
    for piece in node.content.inflated():
        start += bytes(piece[: len(_MAGIC)])
        if len(start) >= len(_MAGIC) and not start.startswith(_MAGIC):
            break
        scan.write(piece)


def _sources(archive: WheelMembers, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    wanted = [name for name in names if archive.headers[name].size <= LARGEST_MODULE]
    for entry in archive.read(wanted):
        yield entry.name, _inflated(entry)
