"""Reads source distributions and checks that their metadata is consistent; runs nothing of them.

Follows packaging.python.org, "Source distribution format", "Core metadata specifications" and
"pyproject.toml specification", and PEP 517 and PEP 518.
"""

import posixpath
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.formats.archive import gzip, stream, untar
from mpbuild.formats.archive.tar import Kind, TarEntry
from mpbuild.formats.archive.tree import check_tree
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip import read_archive

_TEXTS = ("PKG-INFO", "pyproject.toml")
# The default build system, which runs setup.py (PEP 517, "Source trees"; PEP 518).
_LEGACY = {"requires": ["setuptools", "wheel"], "build-backend": "setuptools.build_meta:__legacy__"}

Member = tuple[TarEntry, Iterable[Buffer]]


class SourceDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a source distribution, and its build system.

    ``name`` and ``version`` are normalized; ``requires`` are requirements (PEP 508). ``backend``
    is ``module:object``, imported with ``backend_path``, folders of the source tree, first on the
    import path.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


def read_sdist(
    data: Buffer, filename: str, *, largest: int = limits.SDIST_UNPACKED_BYTES
) -> SourceDistribution:
    """Reads all of the source distribution in ``data``.

    Raises UnsafeError for an unsafe archive, one with several top-level folders and one that
    unpacks to more than ``largest`` bytes; InputError (content-mismatch) if file name and PKG-INFO
    disagree or the build system is malformed.
    """
    name, version = _parse_filename(filename)
    members = _zipped(data) if filename.endswith(".zip") else _tarred(data, largest)
    texts = _texts(members, largest)
    _check_metadata(texts.get("PKG-INFO"), name, version)
    system = _build_system(texts.get("pyproject.toml"))
    return SourceDistribution(
        name=name,
        version=str(version),
        requires=tuple(_requirement(text) for text in _strings(system, "requires")),
        backend=_backend(system),
        backend_path=tuple(_inner(path) for path in _strings(system, "backend-path")),
    )


def _parse_filename(filename: str) -> tuple[str, Version]:
    try:
        return parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidVersion) as error:
        raise InputError(
            f"not the file name of a source distribution: {error}", code=Code.CONTENT_MISMATCH
        ) from error


def _tarred(data: Buffer, largest: int) -> Iterator[Member]:
    yield from untar.read(stream.at_most(gzip.decompress((data,)), largest))


def _zipped(data: Buffer) -> Iterator[Member]:
    for entry in read_archive(data):
        kind: Kind = "directory" if entry.is_directory else "file"
        yield TarEntry(entry.name, kind, 0o755, entry.size), entry.inflated()


def _texts(members: Iterable[Member], largest: int) -> dict[str, str]:
    """The metadata files of the top-level folder; checks that all members are safe."""
    entries: list[TarEntry] = []
    found: dict[str, str] = {}
    size = 0
    for entry, content in members:
        entries.append(entry)
        size += entry.size
        if size > largest or len(entries) > limits.SDIST_MEMBERS:
            raise UnsafeError(
                f"unpacks to more than {largest} bytes or {limits.SDIST_MEMBERS} files"
            )
        folder, name = posixpath.split(entry.path)
        if entry.kind == "file" and folder and "/" not in folder and name in _TEXTS:
            found[name] = _text(entry, content)
    check_tree(entries)
    tops = sorted({entry.path.partition("/")[0] for entry in entries})
    if len(tops) != 1:
        raise UnsafeError(f"a source distribution has one top-level folder, not {tops[:3]}")
    return found


def _text(entry: TarEntry, content: Iterable[Buffer]) -> str:
    if entry.size > limits.PYTHON_METADATA_BYTES:
        raise UnsafeError(f"{entry.size} bytes of metadata", where=entry.path)
    try:
        return b"".join(content).decode()
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8", where=entry.path, code=Code.CONTENT_MISMATCH) from error


def _check_metadata(text: str | None, name: str, version: Version) -> None:
    if text is None:
        raise InputError("the source distribution has no PKG-INFO", code=Code.CONTENT_MISMATCH)
    headers = HeaderParser().parsestr(text)
    names, versions = (headers.get_all(key, []) for key in ("Name", "Version"))
    try:
        same = [canonicalize_name(str(one)) for one in names] == [name] and [
            Version(str(one)) for one in versions
        ] == [version]
    except InvalidVersion:
        same = False
    if not same:
        raise InputError(
            f"PKG-INFO has {names[:2]} {versions[:2]}, the file name {name} {version}",
            code=Code.CONTENT_MISMATCH,
            hint="report it to the publisher; another version may be consistent",
        )


def _build_system(text: str | None) -> Mapping[str, Any]:
    """The table build-system, or its default."""
    try:
        document = tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise _malformed(f"not TOML: {error}") from error
    system = document.get("build-system", _LEGACY)
    if not isinstance(system, dict):
        raise _malformed("build-system is not a table")
    if "requires" not in system:
        raise _malformed("build-system has no requires")
    return system


def _backend(system: Mapping[str, Any]) -> str:
    backend = system.get("build-backend", _LEGACY["build-backend"])
    module, _, attribute = backend.partition(":") if isinstance(backend, str) else ("", "", "")
    dotted = [*module.split("."), *(attribute.split(".") if attribute else ())]
    if not all(part.isidentifier() for part in dotted):
        raise _malformed(f"build-backend is {backend!r:.80}, not the name of an object")
    return str(backend)


def _strings(system: Mapping[str, Any], key: str) -> list[str]:
    found = system.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _malformed(f"build-system.{key} is not a list of strings")
    return found


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        first = str(error).split("\n", 1)[0]
        raise _malformed(
            f"build-system.requires has {text[:80]!r}, not a requirement: {first}"
        ) from error
    return text


def _inner(path: str) -> str:
    """A relative path inside the source tree (PEP 517, "In-tree build backends")."""
    normal = posixpath.normpath(path)
    if posixpath.isabs(normal) or normal.split("/")[0] == ".." or "\0" in path:
        raise _malformed(f"build-system.backend-path leaves the source tree: {path[:80]!r}")
    return normal


def _malformed(message: str) -> InputError:
    return InputError(
        message,
        where="pyproject.toml",
        code=Code.CONTENT_MISMATCH,
        hint="choose another version of the package, or build the wheel yourself",
    )
