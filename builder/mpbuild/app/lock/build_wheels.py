"""Builds wheels of packages that have only a source distribution, into the folders that own them.

A wheel is built once. From then on it is locked by its digest, like every wheel in the folder.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TypeVar

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mpbuild.app.lock.build_sdist import GAP_S, SdistBuilder, SourceBuildEnvironment
from mpbuild.app.lock.index_sources import sources
from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.files.atomic import stream_new
from mpbuild.effects.files.disk import disk_errors
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.python import sdists
from mpbuild.effects.python.index_views import IndexSources, lay_out
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.resolution_failure import ResolutionError, ResolutionFailure
from mpbuild.effects.python.sdists import SdistFile
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.sandbox.bubblewrap import BwrapCandidate
from mpbuild.effects.store.store import Store
from mpbuild.engine.protocols import TaskObserver
from mpbuild.formats.debian.deblock import DebianLock
from mpbuild.formats.python import wheel_tags
from mpbuild.formats.python.markers import applies
from mpbuild.resolve import python_lock

T = TypeVar("T")

NOTHING: Mapping[str, str] = MappingProxyType({})


class BuiltWheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was built into a folder, its source distribution, and findings about it."""

    name: str
    version: str
    path: Path
    digest: Digest
    size: int
    source: Digest
    findings: tuple[Finding, ...]


class BuildSite(msgspec.Struct, frozen=True):
    """An environment to build for, the sources of its packages, and the folder for the wheel."""

    environment: LockEnvironment
    sources: IndexSources
    folder: Path

    def has(self, name: str, wanted: SpecifierSet) -> bool:
        """Whether the folder has a wheel of ``name`` in a ``wanted`` version that fits."""
        aim = python_lock.target(self.environment.python)
        ranks = wheel_tags.supported(aim.python, aim.glibc)
        for path in self.folder.glob("*.whl"):
            try:
                wheel = wheel_tags.WheelName.of(path.name)
            except InputError:
                continue
            fits = wheel.name == name and wheel_tags.rank(wheel.tags, ranks) is not None
            if fits and wanted.contains(Version(wheel.version), prereleases=True):
                return True
        return False


class WheelBuilder:
    """Builds the wheels that the folders of a workspace own and lack; ``built`` lists them.

    ``debian`` returns an environment's Debian lock when it is needed. Releases younger than
    ``released_before`` are ignored.
    """

    def __init__(
        self,
        workspace: OpenWorkspace,
        debian: Callable[[LockEnvironment], DebianLock],
        *,
        store: Store,
        uv: Uv,
        web: HttpClient,
        observer: TaskObserver,
        released_before: datetime | None = None,
        bwrap: Sequence[BwrapCandidate] | None = None,
        gap_s: float = GAP_S,
    ) -> None:
        self._folders = {
            name: workspace.root / index.folder
            for name, index in workspace.settings.indexes.items()
            if index.build and index.folder
        }
        self._workspace = workspace
        self._debian = debian
        self._uv = uv
        self._web = web
        self._released_before = released_before
        self._store = store
        self._builds = SdistBuilder(
            store, uv=uv, web=web, observer=observer, bwrap=bwrap, gap_s=gap_s
        )
        self.built: list[BuiltWheel] = []

    def supply(
        self,
        environments: Sequence[LockEnvironment],
        attempt: Callable[[], T],
        *,
        locked: Mapping[str, str] = NOTHING,
        fresh: Collection[str] = (),
    ) -> T:
        """Calls ``attempt`` to resolve the environments, building missing wheels until it succeeds.

        Builds packages that the requirements name, and packages that a folder owns by name and a
        failed resolution mentions: only the resolver knows the dependencies of packages. Builds
        ``locked`` versions if they are allowed, but the newest ones of ``fresh`` packages.
        ``attempt`` must read the folders each time. Raises the errors of ``attempt`` and of
        building.
        """
        if not self._folders:
            return attempt()
        for environment in environments:
            names = _named(environment) | set(fresh)
            self.ensure_wheels(environment, names, locked=locked, fresh=fresh)
        while True:
            try:
                return attempt()
            except ResolutionError as error:
                failure = error.failure
                if not any(self._build_mentioned(one, failure, locked) for one in environments):
                    raise

    def ensure_wheels(
        self,
        environment: LockEnvironment,
        names: Iterable[str],
        *,
        locked: Mapping[str, str] = NOTHING,
        fresh: Collection[str] = (),
    ) -> list[BuiltWheel]:
        """Builds the packages of ``names`` that a folder owns and has no fitting wheel of.

        ``locked`` (versions by name) and ``fresh`` are those of ``supply``.
        """
        found = sources(self._workspace, environment.serves)
        made = []
        for name in sorted(set(names)):
            owner = found.owner(name)
            folder = self._folders.get(owner.index.name) if owner else None
            if folder:
                site = BuildSite(environment, found, folder)
                version = None if name in fresh else locked.get(name)
                made += self._ensure(site, name, version, renewed=name in fresh)
        self.built += made
        return made

    def _build_mentioned(
        self,
        environment: LockEnvironment,
        failure: ResolutionFailure,
        locked: Mapping[str, str],
    ) -> list[BuiltWheel]:
        """Builds mentioned packages that folders own by their full names."""
        owners = sources(self._workspace, environment.serves).owners
        building = [owner for owner in owners if owner.index.name in self._folders]
        names = [name for owner in building for name in owner.patterns if failure.mentions(name)]
        return self.ensure_wheels(environment, names, locked=locked)

    def _ensure(
        self, site: BuildSite, name: str, version: str | None, *, renewed: bool
    ) -> list[BuiltWheel]:
        wanted = specifiers(site.environment, name)
        if not renewed and site.has(name, wanted):
            return []
        if version and wanted.contains(version, prereleases=True):
            wanted &= SpecifierSet(f"=={version}")
        source = self._newest(site, name, wanted)
        with self._store.lock(source.sha256):
            # Another process may have built it meanwhile.
            if site.has(name, SpecifierSet(f"=={source.version}")):
                return []
            return [self._build(source, site)]

    def _newest(self, site: BuildSite, name: str, wanted: SpecifierSet) -> SdistFile:
        """Finds the source distribution at the index that owns the package besides the folder."""
        places = site.sources.without(self._folders)
        owner = places.owner(name)
        index = owner.index if owner else places.default
        if not index.url:
            index = PythonIndex(index.name, self._uv.own_index)
        dated = owner.dated if owner else places.dated
        return sdists.newest(
            Projects(self._web).files(index, name),
            name,
            wanted,
            site.environment.python.python,
            index=index.name,
            released_before=self._released_before if dated else None,
        )

    def _build(self, source: SdistFile, site: BuildSite) -> BuiltWheel:
        environment = site.environment
        with TemporaryDirectory(prefix="mpbuild-indexes-") as pages:
            view = lay_out(site.sources, Path(pages), Projects(self._web), self._released_before)
            ground = SourceBuildEnvironment(
                environment=environment, debian=self._debian(environment), view=view
            )
            made = self._builds.build(source, ground)
        path = site.folder / made.filename
        self._place(made.digest, path)
        return BuiltWheel(
            name=source.name,
            version=str(source.version),
            path=path,
            digest=made.digest,
            size=self._store.size(made.digest),
            source=source.sha256,
            findings=made.findings,
        )

    def _place(self, digest: Digest, path: Path) -> None:
        """Copies the wheel, all or nothing; a link would let edits reach the store."""
        with disk_errors(path), self._store.mapped(digest) as data:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream_new(path.parent, path, [data], mode=0o644)


def specifiers(environment: LockEnvironment, name: str) -> SpecifierSet:
    """Returns the versions of a package that an environment's requirements and bounds allow.

    Overrides replace requirements.
    """
    wanted = environment.python
    overriding = _of(wanted.overrides, name, wanted.python)
    effective = overriding or _of((*wanted.requirements, *wanted.union), name, wanted.python)
    found = SpecifierSet()
    for requirement in (*effective, *_of(wanted.constraints, name, wanted.python)):
        found &= requirement.specifier
    return found


def _named(environment: LockEnvironment) -> set[str]:
    wanted = environment.python
    texts = (*wanted.requirements, *wanted.union, *wanted.overrides)
    counting = (one for one in map(Requirement, texts) if applies(one, wanted.python))
    return {canonicalize_name(one.name) for one in counting}


def _of(texts: Iterable[str], name: str, version: str) -> list[Requirement]:
    """The requirements on ``name`` that apply to a Python ("3.11")."""
    found = [Requirement(text) for text in texts]
    return [one for one in found if canonicalize_name(one.name) == name and applies(one, version)]
