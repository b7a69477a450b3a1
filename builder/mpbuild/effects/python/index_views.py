"""Presents index ownership to the resolver as a local PEP 503 repository.

Resolvers order indexes by preference and don't know which index owns a package. Therefore the pages
of owned packages are written into a folder, a simple repository with nothing else. The resolver
reads it first and looks no further for a package that has a page there, so it never sees the files
of other indexes. Folders of wheels become such repositories, too.
"""

import html
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec

from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.projects import ProjectFile, Projects
from mpbuild.effects.python.resolution_failure import ResolutionError
from mpbuild.effects.threads import at_once
from mpbuild.spec import index_ownership

_AT_ONCE = 8
_HEAD = "<!DOCTYPE html>\n<html><head></head><body>\n"


class IndexOwner(msgspec.Struct, frozen=True, kw_only=True):
    """An index that owns packages: normalized names, or prefixes followed by ``*``.

    ``dated``: whether the index has upload dates.
    """

    index: PythonIndex
    patterns: tuple[str, ...]
    dated: bool = True


class IndexSources(msgspec.Struct, frozen=True, kw_only=True):
    """The indexes of an environment: the owners of packages, and the default for all others.

    ``dated`` is that of the default index.
    """

    default: PythonIndex = PythonIndex()
    owners: tuple[IndexOwner, ...] = ()
    dated: bool = True

    def without(self, names: Collection[str]) -> "IndexSources":
        """Returns the same without the owners with these index names."""
        kept = tuple(owner for owner in self.owners if owner.index.name not in names)
        return msgspec.structs.replace(self, owners=kept)

    def owner(self, name: str) -> IndexOwner | None:
        """Returns the owner of a package; None if it is the default index."""
        found = index_ownership.owner(
            {owner.index.name: owner.patterns for owner in self.owners}, name
        )
        return next((owner for owner in self.owners if owner.index.name == found), None)


class IndexView(msgspec.Struct, frozen=True, kw_only=True):
    """The indexes as a resolver sees them.

    ``default`` is empty for the resolver's own. ``folder`` has the pages of the packages ``owned``,
    which maps names to names of indexes. ``released_before`` (RFC 3339, or empty) applies to all
    other packages; pages of owned ones already respect it.
    """

    sources: IndexSources = IndexSources()
    default: PythonIndex = PythonIndex()
    folder: Path | None = None
    owned: Mapping[str, str] = {}
    released_before: str = ""

    @classmethod
    def of(cls, index: PythonIndex) -> "IndexView":
        """Returns the view of a single repository that has all packages."""
        return cls(sources=IndexSources(default=index), default=index)

    def index_of(self, name: str) -> str:
        """Returns the name of the index that a resolved package came from.

        Raises InputError if the package has an owner that lacks it.
        """
        owner = self.sources.owner(name)
        if owner is None:
            return self.sources.default.name
        if name not in self.owned:
            raise ResolutionError(
                f"the index {owner.index.name} owns {name} but doesn't have it",
                hint=f"publish it there, or remove it from indexes.{owner.index.name}.packages",
            )
        return owner.index.name


def lay_out(
    sources: IndexSources, folder: Path, projects: Projects, released_before: datetime | None = None
) -> IndexView:
    """Writes the pages of packages that ``sources`` own into ``folder``, empty and private.

    Pages contain URLs with logins, and no files that were uploaded after ``released_before``.
    Raises EnvironmentFailureError if an index cannot be read, InputError if it has no dates.
    """
    owned = dict(_pages(sources, folder / "owned", projects, released_before))
    default = sources.default
    if default.flat:
        for name in sorted(projects.names(default)):
            _write(folder / "default" / name, projects.files(default, name))
        (folder / "default").mkdir(parents=True, exist_ok=True)
        default = PythonIndex(default.name, (folder / "default").as_uri())
    cutoff = released_before if sources.dated and not sources.default.flat else None
    return IndexView(
        sources=sources,
        default=default,
        folder=folder / "owned" if owned else None,
        owned=owned,
        released_before=cutoff.isoformat().replace("+00:00", "Z") if cutoff else "",
    )


def _pages(
    sources: IndexSources, folder: Path, projects: Projects, released_before: datetime | None
) -> Iterator[tuple[str, str]]:
    for owner in sources.owners:
        kept = released_before if owner.dated and not owner.index.flat else None
        names = sorted(name for name in _names(owner, projects) if sources.owner(name) is owner)
        with at_once(_AT_ONCE) as pool:
            pages = pool.map(partial(projects.files, owner.index), names)
            for name, files in zip(names, pages, strict=True):
                _write(folder / name, _released(files, kept, owner) if kept else files)
                yield name, owner.index.name


def _names(owner: IndexOwner, projects: Projects) -> set[str]:
    """The names that an owner has; for patterns, those that the index lists."""
    exact = {pattern for pattern in owner.patterns if not pattern.endswith("*")}
    if len(exact) == len(owner.patterns):
        return exact
    listed = projects.names(owner.index)
    return exact | {name for name in listed if index_ownership.owns(owner.patterns, name)}


def _released(
    files: Iterable[ProjectFile], before: datetime, owner: IndexOwner
) -> Sequence[ProjectFile]:
    kept = []
    for file in files:
        if file.uploaded is None:
            raise ResolutionError(
                f"the index {owner.index.name} has no upload date for {file.filename}, so"
                " lock.cooldown can't apply to it",
                hint=f"set indexes.{owner.index.name}.dated = false",
            )
        if file.uploaded < before:
            kept.append(file)
    return kept


def _write(folder: Path, files: Iterable[ProjectFile]) -> None:
    """The page of a project; one without files keeps the resolver from looking elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    links = "".join(f"{_link(file)}<br>\n" for file in files)
    (folder / "index.html").write_text(f"{_HEAD}{links}</body></html>\n", "utf-8")


def _link(file: ProjectFile) -> str:
    fragment = f"#sha256={file.sha256.hex}" if file.sha256 else ""
    attributes = {
        "href": file.url + fragment,
        "data-requires-python": file.requires_python or None,
        "data-core-metadata": file.metadata or None,
        "data-yanked": file.yanked,
    }
    text = "".join(
        f' {key}="{html.escape(value)}"' for key, value in attributes.items() if value is not None
    )
    return f"<a{text}>{html.escape(file.filename)}</a>"
