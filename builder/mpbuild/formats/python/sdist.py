"""Source distributions: archives that say consistently what they are, and who can build them.

packaging.python.org: "Source distribution format", "Core metadata specifications", "pyproject.toml
specification"; PEP 517 and PEP 518. Reading one runs nothing of it.
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
# PEP 517, "Source trees", and PEP 518: what setup.py means where nothing else is said.
_LEGACY = {"requires": ["setuptools", "wheel"], "build-backend": "setuptools.build_meta:__legacy__"}

Member = tuple[TarEntry, Iterable[Buffer]]


class SourceDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a source distribution is, and what builds it.

    ``name`` and ``version`` are normalised, ``requires`` are requirements (PEP 508). ``backend``
    is ``module:object``; the folders of ``backend_path`` (below the source tree) are looked in
    first for it.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


def read_sdist(
    data: Buffer, filename: str, *, largest: int = limits.SDIST_UNPACKED_BYTES
) -> SourceDistribution:
    """The source distribution in ``data``, all of it looked at.

    Raise UnsafeError for an archive that is not sound, holds more than one folder or unpacks to
    more than ``largest`` bytes; InputError (content-mismatch) where file name and PKG-INFO
    disagree about what it is, and InputError where its build system can't be understood.
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
            f"not a source distribution's file name: {error}", code=Code.CONTENT_MISMATCH
        ) from error


def _tarred(data: Buffer, largest: int) -> Iterator[Member]:
    yield from untar.read(stream.at_most(gzip.decompress((data,)), largest))


def _zipped(data: Buffer) -> Iterator[Member]:
    for entry in read_archive(data):
        kind: Kind = "directory" if entry.is_directory else "file"
        yield TarEntry(entry.name, kind, 0o755, entry.size), entry.inflated()


def _texts(members: Iterable[Member], largest: int) -> dict[str, str]:
    """What counts of the one folder's own files, once all members were seen to be harmless."""
    entries: list[TarEntry] = []
    found: dict[str, str] = {}
    size = 0
    for entry, content in members:
        entries.append(entry)
        size += entry.size
        if size > largest or len(entries) > limits.SDIST_MEMBERS:
            raise UnsafeError(
                f"it unpacks to more than {largest} bytes or {limits.SDIST_MEMBERS} files"
            )
        folder, name = posixpath.split(entry.path)
        if entry.kind == "file" and folder and "/" not in folder and name in _TEXTS:
            found[name] = _text(entry, content)
    check_tree(entries)
    tops = sorted({entry.path.partition("/")[0] for entry in entries})
    if len(tops) != 1:
        raise UnsafeError(f"a source distribution has one folder, this has {tops[:3]}")
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
            f"says in PKG-INFO that it is {names[:2]} {versions[:2]}, and its file name says"
            f" {name} {version}",
            code=Code.CONTENT_MISMATCH,
            hint="tell whoever published it; another version may be right",
        )


def _build_system(text: str | None) -> Mapping[str, Any]:
    """The table build-system, with what is meant where it says nothing."""
    try:
        document = tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise _malformed(f"is no TOML: {error}") from error
    system = document.get("build-system", _LEGACY)
    if not isinstance(system, dict):
        raise _malformed("build-system is no table")
    if "requires" not in system:
        raise _malformed("build-system has no requires")
    return system


def _backend(system: Mapping[str, Any]) -> str:
    backend = system.get("build-backend", _LEGACY["build-backend"])
    module, _, attribute = backend.partition(":") if isinstance(backend, str) else ("", "", "")
    dotted = [*module.split("."), *(attribute.split(".") if attribute else ())]
    if not all(part.isidentifier() for part in dotted):
        raise _malformed(f"build-backend is {backend!r:.80}, which names no object")
    return str(backend)


def _strings(system: Mapping[str, Any], key: str) -> list[str]:
    found = system.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _malformed(f"build-system.{key} is no list of texts")
    return found


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        first = str(error).split("\n", 1)[0]
        raise _malformed(f"build-system requires {text[:80]!r}, no requirement: {first}") from error
    return text


def _inner(path: str) -> str:
    """PEP 517, "In-tree build backends": relative, and inside the source tree."""
    normal = posixpath.normpath(path)
    if posixpath.isabs(normal) or normal.split("/")[0] == ".." or "\0" in path:
        raise _malformed(f"build-system.backend-path leads outside: {path[:80]!r}")
    return normal


def _malformed(message: str) -> InputError:
    return InputError(
        message,
        where="pyproject.toml",
        code=Code.CONTENT_MISMATCH,
        hint="choose another version of the package, or build the wheel yourself",
    )
