"""Finds the source distributions of an index, and fetches one by its digest.

The packaging specifications "Simple repository API" and "Source distribution format". Name,
version and Python come from the index and the file name; no code of a distribution runs.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import parse_sdist_filename
from packaging.version import Version

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.python.projects import ProjectFile
from mpbuild.effects.python.resolution_failure import ResolutionError

LARGEST = 256 << 20


class SdistFile(msgspec.Struct, frozen=True, kw_only=True):
    """A source distribution: its normalized name and version, and its current URL."""

    name: str
    version: Version
    filename: str
    url: str
    sha256: Digest
    size: int | None


def newest(
    files: Iterable[ProjectFile],
    name: str,
    wanted: SpecifierSet,
    python: str,
    *,
    index: str = "default",
    released_before: datetime | None = None,
) -> SdistFile:
    """Returns the newest source distribution of ``name`` in a ``wanted`` version for ``python``.

    Considers pre-releases if nothing else fits or ``wanted`` names one, and yanked files if it
    names exactly their version (PEP 440, PEP 592). Ignores files that are younger than
    ``released_before`` or have no date. Raises ResolutionError, which names the ``index``, if there
    is none.
    """
    found = [
        source
        for file, source in _sources(files, name)
        if _serves_python(file, python)
        and _old_enough(file, released_before)
        and (file.yanked is None or _names_exactly(wanted, source.version))
    ]
    versions = set(wanted.filter({source.version for source in found}))
    fitting = [source for source in found if source.version in versions]
    if not fitting:
        before = f", released before {released_before:%Y-%m-%d}" if released_before else ""
        raise ResolutionError(
            f"the index {index} has no source distribution of {name}{wanted} with a sha256, for"
            f" Python {python}{before}",
            hint="require another version, or put a wheel into the folder that owns the package",
        )
    # Prefers the tar of a version: zip files are historical and lose the executable bit.
    return max(fitting, key=lambda one: (one.version, one.filename.endswith(".tar.gz")))


def fetch(source: SdistFile, *, into: FileSink, web: HttpClient) -> None:
    """Fetches the file of ``source``; raises EnvironmentFailureError."""
    size = source.size or web.size(source.url)
    if size > LARGEST:
        raise InputError(
            f"the source distribution has {size} bytes; the limit is {LARGEST}",
            where=source.filename,
            hint="build the wheel elsewhere and put it into the folder that owns the package",
        )
    request = FileRequest(name=source.filename, urls=(source.url,), digest=source.sha256, size=size)
    download((request,), into=into, web=web)


def _sources(files: Iterable[ProjectFile], name: str) -> Iterator[tuple[ProjectFile, SdistFile]]:
    """The files that are source distributions of ``name``, by their names."""
    for file in files:
        try:
            project, version = parse_sdist_filename(file.filename)
        except ValueError:
            continue
        if project == name and file.sha256:
            yield (
                file,
                SdistFile(
                    name=name,
                    version=version,
                    filename=file.filename,
                    url=file.url,
                    sha256=file.sha256,
                    size=file.size,
                ),
            )


def _serves_python(file: ProjectFile, python: str) -> bool:
    try:
        return SpecifierSet(file.requires_python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return False


def _old_enough(file: ProjectFile, before: datetime | None) -> bool:
    return before is None or (file.uploaded is not None and file.uploaded < before)


def _names_exactly(wanted: SpecifierSet, version: Version) -> bool:
    exact = (one for one in wanted if one.operator in ("==", "===") and "*" not in one.version)
    return any(one.contains(version, prereleases=True) for one in exact)
