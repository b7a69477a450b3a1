"""What ELF files need from other layers, and whether an image supplies it.

The search follows ld.so(8): DT_RPATH or DT_RUNPATH with ``$ORIGIN``, then the library folders.
A shared object that a wheel brings anywhere counts too, because extension modules find such
objects already loaded, by their soname. Versions needed of a library (GNU symbol versioning)
must be among those that the file found defines.
"""

import posixpath
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate

import msgspec

from mpbuild.base import canonical
from mpbuild.base.coding import plain, typed
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import places
from mpbuild.derive.layer import Node
from mpbuild.formats.elf import read_elf

_MACHINE = 62  # EM_X86_64
_WHOLE = 64 << 20
_MAGIC = b"\x7fELF"


class ElfFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dynamic ELF file: names it needs, where it looks, versions it needs and defines."""

    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    versions_needed: dict[str, tuple[str, ...]] = {}
    versions_defined: tuple[str, ...] = ()
    soname: str = ""


class Needs(msgspec.Struct, frozen=True):
    """Of one layer: its ELF files, and the links by which shared objects go under other names."""

    files: dict[str, ElfFile]
    links: dict[str, str]


def encode(needs: Needs) -> bytes:
    """The canonical JSON of ``needs``."""
    return canonical.encode(plain(needs))


def read_needs(data: bytes) -> Needs:
    """The inverse."""
    return typed(canonical.decode(data), Needs)


class ElfScan:
    """A visitor of a layer's files that reads the ELF ones while they pass."""

    def __init__(self) -> None:
        self._files: dict[str, ElfFile] = {}
        self._links: dict[str, str] = {}
        self._node: Node | None = None
        self._start = b""
        self._held: list[Buffer] = []

    def begin(self, node: Node) -> None:
        """The next node; the one before is complete."""
        self._complete()
        self._node, self._start, self._held = node, b"", []
        if node.entry.kind in ("symlink", "hardlink") and ".so" in node.entry.path:
            self._links[node.entry.path] = _target(node)

    def write(self, data: Buffer, /) -> None:
        """Content of the node begun last; only what may be an ELF file is held."""
        assert self._node is not None, "begun before"
        self._start += bytes(data[: len(_MAGIC) - len(self._start)])
        if self._node.entry.size <= _WHOLE and _MAGIC.startswith(self._start):
            self._held.append(data)

    def needs(self) -> Needs:
        """What was found, after the last file."""
        self._complete()
        self._node, self._held = None, []
        return Needs(self._files, self._links)

    def _complete(self) -> None:
        if not self._node or self._start != _MAGIC:
            return
        path = self._node.entry.path
        read = _Window(self._node).read if self._node.entry.size > _WHOLE else _whole(self._held)
        try:
            elf = read_elf(read, self._node.entry.size)
        except InputError as error:
            raise error.within(path) from error
        if elf and elf.machine == _MACHINE and elf.is_dynamic:
            self._files[path] = ElfFile(
                needed=elf.needed,
                search=elf.runpath or elf.rpath,
                versions_needed=elf.versions_needed,
                versions_defined=elf.versions_defined,
                soname=elf.soname or "",
            )


def unmet(
    layers: Sequence[Needs],
    supplied: Collection[str] = (),
    never_loaded: Collection[str] = (),
) -> list[Finding]:
    """Every need that the layers together don't supply, as ``elf-unmet`` findings.

    ``supplied`` are names of shared objects that the machine adds, in whatever version is needed.
    Needs of the files ``never_loaded`` don't count, and these meet none; a path among them that
    is none of an ELF file is a ``spec-invalid`` finding.
    """
    files = {path: elf for layer in layers for path, elf in layer.files.items()}
    links = {path: target for layer in layers for path, target in layer.links.items()}
    stale = [
        Finding("spec-invalid", "never_loaded names it, and it is no shared object", f"/{path}")
        for path in sorted(never_loaded)
        if path not in files
    ]
    loaded = {path: elf for path, elf in files.items() if path not in never_loaded}
    return [*stale, *_Image(loaded, links).findings(supplied)]


class _Image:
    def __init__(self, files: Mapping[str, ElfFile], links: Mapping[str, str]) -> None:
        self._files = files
        self._links = links
        self._by_name: dict[str, str] = {}
        for path in (*links, *files):
            if path.startswith(f"{places.VENV}/"):
                self._by_name.setdefault(posixpath.basename(path), path)
        for path, elf in files.items():
            if elf.soname and path.startswith(f"{places.VENV}/"):
                self._by_name.setdefault(elf.soname, path)

    def findings(self, supplied: Collection[str]) -> Iterator[Finding]:
        for path, elf in sorted(self._files.items()):
            for name in elf.needed:
                found = self._find(path, elf, name)
                if found is None and name in supplied:
                    continue
                if found is None:
                    yield _finding(path, f"needs {name}, which nothing in the image supplies")
                    continue
                offered = self._files[found].versions_defined
                for version in elf.versions_needed.get(name, ()):
                    if offered and version not in offered:
                        yield _finding(path, f"needs {version} of {name}, which /{found} lacks")

    def _find(self, path: str, elf: ElfFile, name: str) -> str | None:
        if "/" in name:
            return self._resolve(name.lstrip("/"))
        origin = posixpath.dirname(path)
        folders = [
            entry.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", f"/{origin}")
            for entry in elf.search
        ]
        for folder in (*folders, *places.LIBRARIES):
            found = self._resolve(posixpath.normpath(posixpath.join("/", folder, name))[1:])
            if found:
                return found
        return self._resolve(self._by_name[name]) if name in self._by_name else None

    def _resolve(self, path: str) -> str | None:
        for _ in range(8):
            if path.startswith(("lib/", "lib64/")):
                path = f"usr/{path}"
            if path in self._files:
                return path
            if path not in self._links:
                return None
            path = self._links[path]
        return None


def _finding(path: str, message: str) -> Finding:
    return Finding(
        "elf-unmet",
        message,
        f"/{path}",
        "add the Debian package that brings it to environment.system, or the wheel to dependencies;"
        " what an accelerator's machine has goes into its requires.libraries, and a file that is"
        " never loaded into its never_loaded",
    )


def _target(node: Node) -> str:
    """What a link points to, as a path in the image."""
    if node.entry.kind == "hardlink":
        return node.entry.target
    folder = posixpath.dirname(node.entry.path)
    return posixpath.normpath(posixpath.join("/", folder, node.entry.target))[1:]


def _whole(pieces: Sequence[Buffer]) -> Callable[[int, int], bytes]:
    """Random access to a content that is held in pieces, without joining them."""
    ends = list(accumulate(map(len, pieces)))

    def read(offset: int, count: int) -> bytes:
        found = b""
        index = bisect_right(ends, offset)
        while count > 0 and index < len(pieces):
            start = offset - (ends[index] - len(pieces[index]))
            part = bytes(pieces[index][start : start + count])
            found += part
            offset, count, index = offset + len(part), count - len(part), index + 1
        return found

    return read


class _Window:
    """Random access to a content too large to hold, by inflating it again from its start.

    The stream is read on, or begun again for an offset that has passed: the tables of an ELF
    file take a few passes, never its size in memory.
    """

    def __init__(self, node: Node) -> None:
        assert node.content is not None, "a file has content"
        self._content = node.content
        self._restart()

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes at ``offset``; fewer at the end of the file."""
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
