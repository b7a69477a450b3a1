"""Reads the ELF files of a layer while its content passes, in bounded memory.

The tables for the dynamic linker are small, and linkers and patchers put them near the start, in
the dynamic section or near the end. The scan holds these parts; it inflates a file with tables
elsewhere again.
"""

import posixpath
from bisect import bisect_right
from collections.abc import Iterator

from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.derive.elf_needs import ElfFile, ElfNeeds
from mpbuild.derive.layers.layer import LayerNode
from mpbuild.formats.elf import X86_64, read_elf

_MAGIC = b"\x7fELF"
_LEAST_HELD, _MOST_HELD, _SHARE_HELD = 1 << 20, 16 << 20, 8


class ElfScan:
    """A visitor of a layer that reads its ELF files while they pass."""

    def __init__(self) -> None:
        self._files: dict[str, ElfFile] = {}
        self._links: dict[str, str] = {}
        self._node: LayerNode | None = None
        self._held: _Held | None = None
        self._fresh = False

    def begin(self, node: LayerNode) -> None:
        """Starts the next node; the previous one is complete."""
        if self._held is not None:
            self._complete()
        self._node, self._held, self._fresh = node, None, True
        if node.entry.kind in ("symlink", "hardlink") and ".so" in node.entry.path:
            self._links[node.entry.path] = _target(node)

    def write(self, data: Buffer, /) -> None:
        """Takes content of the current node."""
        if self._fresh and _may_be_elf(bytes(data[: len(_MAGIC)])):
            assert self._node is not None, "write follows begin"
            self._held = _Held(self._node.entry.size)
        self._fresh = False
        if self._held is not None and not self._held.add(data):
            self._held = None

    def needs(self) -> ElfNeeds:
        """Returns the needs that were found, after the last file."""
        if self._held is not None:
            self._complete()
        self._node = self._held = None
        return ElfNeeds(self._files, self._links)

    def _complete(self) -> None:
        assert self._node is not None, "a node is held"
        assert self._held is not None, "checked by the caller"
        path, size = self._node.entry.path, self._node.entry.size
        try:
            try:
                elf = read_elf(self._held.read, size)
            except _NotHeldError:
                elf = read_elf(_Window(self._node).read, size)
        except InputError as error:
            raise error.within(path) from error
        if elf and elf.machine == X86_64 and elf.is_dynamic:
            self._files[path] = ElfFile(
                needed=elf.needed,
                search=elf.runpath or elf.rpath,
                versions_needed=elf.versions_needed,
                versions_defined=elf.versions_defined,
                soname=elf.soname or "",
            )


def _may_be_elf(start: bytes) -> bool:
    return _MAGIC.startswith(start[: len(_MAGIC)])


def _target(node: LayerNode) -> str:
    """The target of a link, as a path in the image."""
    if node.entry.kind == "hardlink":
        return node.entry.target
    folder = posixpath.dirname(node.entry.path)
    return posixpath.normpath(posixpath.join("/", folder, node.entry.target))[1:]


class _NotHeldError(Exception):
    """The bytes between ``begin`` and ``end`` were not held."""

    def __init__(self, begin: int, end: int) -> None:
        super().__init__(begin, end)
        self.begin = begin
        self.end = end


class _Held:
    """The pieces of a file that are likely to have its tables, in order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._start_held = min(max(size // _SHARE_HELD, _LEAST_HELD), _MOST_HELD)
        self._missed: _NotHeldError | None = None
        self._starts: list[int] = []
        self._pieces: list[Buffer] = []
        self._at = 0

    def add(self, data: Buffer) -> bool:
        """Takes the next piece; returns False if the file cannot be an ELF file."""
        begin, self._at = self._at, self._at + len(data)
        if begin < len(_MAGIC):
            start = b"".join((*self._pieces, bytes(data[: len(_MAGIC)])))
            if not _may_be_elf(start):
                return False
        if self._is_wanted(begin, self._at):
            self._starts.append(begin)
            self._pieces.append(data)
        return True

    def read(self, offset: int, count: int) -> bytes:
        """Returns ``count`` bytes at ``offset``, fewer at the end; raises _NotHeldError."""
        found = []
        index = bisect_right(self._starts, offset) - 1
        end = min(offset + count, self._size)
        while offset < end:
            held = 0 <= index < len(self._pieces)
            start = offset - self._starts[index] if held else 0
            part = bytes(self._pieces[index][start : start + end - offset]) if held else b""
            if not part:
                raise _NotHeldError(offset, end)
            found.append(part)
            offset, index = offset + len(part), index + 1
        return b"".join(found)

    def _is_wanted(self, begin: int, end: int) -> bool:
        if begin < self._start_held or end > self._size - _LEAST_HELD:
            return True
        if self._missed is None:
            self._missed = self._first_miss()
        return begin < self._missed.end and self._missed.begin < end

    def _first_miss(self) -> _NotHeldError:
        """The first range that is read beyond the start: the dynamic section."""
        try:
            read_elf(self.read, self._size)
        except _NotHeldError as miss:
            return miss
        except InputError:
            pass  # reported when the file is complete
        return _NotHeldError(0, 0)


class _Window:
    """Random access to content that is too large to hold, by inflating it again.

    Reads on, or restarts for an earlier offset: the tables of an ELF file take a few passes, and
    little memory.
    """

    def __init__(self, node: LayerNode) -> None:
        assert node.content is not None, "files have content"
        self._content = node.content
        self._restart()

    def read(self, offset: int, count: int) -> bytes:
        """Returns ``count`` bytes at ``offset``, fewer at the end of the file."""
        if offset < self._start:
            self._restart()
        while self._start + len(self._held) < offset + count:
            self._drop(offset)
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._held += chunk
        begin = offset - self._start
        return bytes(self._held[begin : begin + count])

    def _drop(self, offset: int) -> None:
        passed = min(max(offset - self._start, 0), len(self._held))
        del self._held[:passed]
        self._start += passed

    def _restart(self) -> None:
        self._chunks: Iterator[Buffer] = self._content.inflated()
        self._start, self._held = 0, bytearray()
