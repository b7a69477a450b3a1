"""The shared objects that ELF files need, and whether an image supplies them.

The search follows ld.so(8): DT_RPATH or DT_RUNPATH with ``$ORIGIN``, then the library folders.
A shared object anywhere in a wheel is found too, because extension modules find such an object
already loaded, by its soname. The library that is found must define every version that is needed
of it (GNU symbol versioning).
"""

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from mpbuild.base import canonical, image_paths
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.errors import Finding


class ElfFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dynamic ELF file: needed names, search path, needed and defined versions."""

    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    versions_needed: dict[str, tuple[str, ...]] = {}
    versions_defined: tuple[str, ...] = ()
    soname: str = ""


class ElfNeeds(msgspec.Struct, frozen=True):
    """The ELF files of a layer, and the links that give shared objects other names."""

    files: dict[str, ElfFile]
    links: dict[str, str]


def encode(needs: ElfNeeds) -> bytes:
    """The canonical JSON of ``needs``."""
    return canonical.encode(plain(needs))


def read_needs(data: bytes) -> ElfNeeds:
    """Reads the canonical JSON of ``encode``."""
    return typed(canonical.decode(data), ElfNeeds)


def unmet(
    layers: Sequence[ElfNeeds],
    supplied: Collection[str] = (),
    never_loaded: Collection[str] = (),
) -> list[Finding]:
    """Returns an elf-unmet finding for every need that the layers together do not supply.

    ``supplied`` has the names of shared objects of the machine, which has every needed version.
    The files ``never_loaded`` neither have needs nor meet any; a path among them that is not an
    ELF file is a spec-invalid finding.
    """
    files = {path: elf for layer in layers for path, elf in layer.files.items()}
    links = {path: target for layer in layers for path, target in layer.links.items()}
    stale = [
        Finding(Code.SPEC_INVALID, "listed in never_loaded, but not a shared object", f"/{path}")
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
            if path.startswith(f"{image_paths.VENV}/"):
                self._by_name.setdefault(posixpath.basename(path), path)
        for path, elf in files.items():
            if elf.soname and path.startswith(f"{image_paths.VENV}/"):
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
        for folder in (*folders, *image_paths.LIBRARIES):
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
        Code.ELF_UNMET,
        message,
        f"/{path}",
        "add its Debian package to environment.system, or its wheel to dependencies; list a library"
        " of the accelerator's machine in requires.libraries, and a file that is never loaded in"
        " never_loaded",
    )
