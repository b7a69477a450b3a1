"""Reads the needs and definitions of dynamic ELF files.

Follows System V gABI, chapters 4 and 5, and Linux Standard Base, "Symbol Versioning". Like the
dynamic linker, it reads segments, never sections, which may be stripped.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

X86_64 = 62

_MAGIC = b"\x7fELF"
_CLASS_64 = 2
_ORDERS: Mapping[int, Literal["little", "big"]] = {1: "little", 2: "big"}
_MACHINE = slice(18, 20)
_FILE_HEADER = struct.Struct("<16s2HL3QL6H")
_SEGMENT = struct.Struct("<2L6Q")
_DYNAMIC = struct.Struct("<2Q")
_NEED, _NEED_VERSION = struct.Struct("<2H3L"), struct.Struct("<L2H2L")
_DEFINITION, _DEFINED_NAME = struct.Struct("<4H3L"), struct.Struct("<2L")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME = 0, 1, 5, 10, 14
_DT_RPATH, _DT_RUNPATH = 15, 29
_DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFFC, 0x6FFFFFFD
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2

Read = Callable[[int, int], bytes]


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """An ELF file; only ``machine`` is set unless it is 64-bit x86.

    ``machine`` is gABI's e_machine. ``rpath`` and ``runpath`` are split at colons; tokens such as
    ``$ORIGIN`` are not expanded. ``versions_needed`` maps a needed library to its versions.
    """

    machine: int
    is_dynamic: bool = False
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str | None = None
    versions_needed: dict[str, tuple[str, ...]] = {}
    versions_defined: tuple[str, ...] = ()


class _Segment(NamedTuple):
    """Elf64_Phdr (gABI, figure 5-1)."""

    kind: int
    flags: int
    offset: int
    address: int
    physical_address: int
    size: int
    size_in_memory: int
    alignment: int


def read_elf(read: Read, size: int) -> Elf | None:
    """Reads an ELF file of ``size`` bytes by ``read(offset, count)``; None for any other file.

    Raises InputError (elf-unmet) for a malformed file, whose needs are unknown. Reads are close
    together, except for a jump to the dynamic section and back, so a few passes over a stream can
    serve them.
    """
    # No loader takes a shorter file for an ELF file.
    if size < _MACHINE.stop or bytes(read(0, len(_MAGIC))) != _MAGIC:
        return None
    image = _Image(read, size)
    start = image.at(0, _MACHINE.stop)
    order = _ORDERS.get(start[5])
    if order is None:
        raise _malformed("unknown byte order")
    machine = int.from_bytes(start[_MACHINE], order)
    if (start[4], order, machine) != (_CLASS_64, "little", X86_64):
        return Elf(machine=machine)
    segments = image.load_segments()
    interpreter = next((s for s in segments if s.kind == _PT_INTERP), None)
    dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC and s.size), None)
    path = _text(image.at(interpreter.offset, interpreter.size)) if interpreter else None
    if dynamic is None:
        return Elf(machine=machine, interpreter=path)
    return _dynamic_elf(image, _dynamic_entries(image, dynamic), path)


class _Image:
    """The bytes of a file, by offset or, after ``load_segments``, by address."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._loaded: tuple[_Segment, ...] = ()
        self._links = limits.ELF_VERSION_RECORDS

    def at(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes at ``offset``."""
        if offset + count > self._size or count > limits.ELF_TABLE_BYTES:
            raise _malformed(f"a table has {count} bytes at {offset}, the file {self._size}")
        data = bytes(self._read(offset, count))
        if len(data) != count:
            raise _malformed("truncated")
        return data

    def at_address(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes at ``address``, from the segment that contains it."""
        for segment in self._loaded:
            distance = address - segment.address
            if 0 <= distance <= segment.size - count:
                return self.at(segment.offset + distance, count)
        raise _malformed(f"no segment contains the {count} bytes at address {address:#x}")

    def load_segments(self) -> tuple[_Segment, ...]:
        """Loads and returns the program headers."""
        fields = _FILE_HEADER.unpack(self.at(0, _FILE_HEADER.size))
        offset, size, count = fields[5], fields[9], fields[10]
        if count and size != _SEGMENT.size:
            raise _malformed(f"program headers of {size} bytes")
        table = self.at(offset, count * _SEGMENT.size)
        segments = tuple(_Segment(*header) for header in _SEGMENT.iter_unpack(table))
        self._loaded = tuple(s for s in segments if s.kind == _PT_LOAD)
        return segments

    def chain(
        self, form: struct.Struct, address: int, count: int
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Up to ``count`` records by address; the last field is the distance to the next."""
        for _ in range(count):
            self._links -= 1
            if self._links < 0:
                raise _malformed(f"more than {limits.ELF_VERSION_RECORDS} version records")
            record = form.unpack(self.at_address(address, form.size))
            yield address, record
            if not record[-1]:
                return
            address += record[-1]


class _Strings:
    """The dynamic string table, in memory for access in any order."""

    def __init__(self, table: bytes) -> None:
        self._table = table

    def __getitem__(self, index: int) -> str:
        if index >= len(self._table):
            raise _malformed(f"no string at {index}")
        return _text(self._table[index : index + limits.ELF_STRING_BYTES])

    def paths(self, index: int | None) -> tuple[str, ...]:
        """The folders of a search path."""
        return () if index is None else tuple(filter(None, self[index].split(":")))


def _dynamic_entries(image: _Image, segment: _Segment) -> dict[int, list[int]]:
    """The values of the dynamic section by tag, up to DT_NULL (gABI, "Dynamic Section")."""
    table = image.at(segment.offset, segment.size - segment.size % _DYNAMIC.size)
    entries: dict[int, list[int]] = {}
    for tag, value in _DYNAMIC.iter_unpack(table):
        if tag == _DT_NULL:
            break
        entries.setdefault(tag, []).append(value)
    return entries


def _dynamic_elf(image: _Image, entries: Mapping[int, list[int]], interpreter: str | None) -> Elf:
    # For duplicate tags, the dynamic linker uses the last value.
    values = {tag: found[-1] for tag, found in entries.items()}
    strings = _Strings(
        image.at_address(values[_DT_STRTAB], values.get(_DT_STRSZ, 0))
        if _DT_STRTAB in values
        else b""
    )
    soname = values.get(_DT_SONAME)
    return Elf(
        machine=X86_64,
        is_dynamic=True,
        soname=None if soname is None else strings[soname],
        needed=tuple(strings[index] for index in entries.get(_DT_NEEDED, ())),
        rpath=strings.paths(values.get(_DT_RPATH)),
        runpath=strings.paths(values.get(_DT_RUNPATH)),
        interpreter=interpreter,
        versions_defined=tuple(_versions_defined(image, values, strings)),
        versions_needed=_versions_needed(image, values, strings),
    )


def _versions_defined(image: _Image, values: Mapping[int, int], strings: _Strings) -> Iterator[str]:
    """The first name of each definition, except the base definition, which names the file."""
    if _DT_VERDEF not in values:
        return
    definitions = image.chain(_DEFINITION, values[_DT_VERDEF], values.get(_DT_VERDEFNUM, 0))
    for address, (_, flags, _, _, _, names, _) in definitions:
        if not flags & _VER_FLG_BASE:
            for _, (name, _) in image.chain(_DEFINED_NAME, address + names, 1):
                yield strings[name]


def _versions_needed(
    image: _Image, values: Mapping[int, int], strings: _Strings
) -> dict[str, tuple[str, ...]]:
    """The versions needed of each library, without weak ones, which the linker may ignore."""
    needed: dict[str, tuple[str, ...]] = {}
    if _DT_VERNEED in values:
        needs = image.chain(_NEED, values[_DT_VERNEED], values.get(_DT_VERNEEDNUM, 0))
        for address, (_, count, library, first, _) in needs:
            versions = [
                strings[name]
                for _, (_, flags, _, name, _) in image.chain(_NEED_VERSION, address + first, count)
                if not flags & _VER_FLG_WEAK
            ]
            needed[strings[library]] = (*needed.get(strings[library], ()), *versions)
    return needed


def _text(field: bytes) -> str:
    text, end, _ = field.partition(b"\0")
    try:
        if end:
            return text.decode()
    except UnicodeDecodeError:
        pass
    raise _malformed(f"malformed string {text[:80]!r}")


def _malformed(problem: str) -> InputError:
    return InputError(
        f"malformed ELF file: {problem}",
        code=Code.ELF_UNMET,
        hint="its needs are unknown; use another build of the package",
    )
