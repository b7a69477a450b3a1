"""Source distributions of an index: which there are, and getting one by its digest.

The packaging specifications "Simple repository API" and "Source distribution format". Nothing of
them runs here: name, version and Python are what the index and the file name say.
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
    """One source distribution: normal name and version, and where its file is today."""

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
    """The newest source distribution of ``name`` in a version ``wanted``, for ``python``.

    Pre-releases count where nothing else does or ``wanted`` names one, yanked files where it
    names exactly that version (PEP 440, PEP 592). With ``released_before`` younger files don't
    count, nor do undated ones. Raises InputError where there is none, which names the ``index``.
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
            hint="ask for another version, or put a wheel of it into the folder that owns it",
        )
    # Of one version the tar: zip files are of older times and lose the executable bit.
    return max(fitting, key=lambda one: (one.version, one.filename.endswith(".tar.gz")))


def fetch(source: SdistFile, *, into: FileSink, web: HttpClient) -> None:
    """Keep the file of ``source``.

    Raises EnvironmentFailureError where it can't be had or is another one.
    """
    size = source.size or web.size(source.url)
    if size > LARGEST:
        raise InputError(
            f"the source distribution has {size} bytes, and {LARGEST} at most are taken",
            where=source.filename,
            hint="build the wheel elsewhere and put it into the folder that owns the package",
        )
    request = FileRequest(name=source.filename, urls=(source.url,), digest=source.sha256, size=size)
    download((request,), into=into, web=web)


def _sources(files: Iterable[ProjectFile], name: str) -> Iterator[tuple[ProjectFile, SdistFile]]:
    """Those files that are source distributions of ``name`` by what they are called."""
    for file in files:
        try:
            said, version = parse_sdist_filename(file.filename)
        except ValueError:
            continue
        if said == name and file.sha256:
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
