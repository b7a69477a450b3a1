"""Resolves the locks of every environment of a target, compares them and writes changes."""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from packaging.utils import canonicalize_name

from mpbuild.app.lock.debian_archives import DebianArchives
from mpbuild.app.lock.explain_conflict import explained, within
from mpbuild.app.lock.index_sources import sources
from mpbuild.app.lock.lock_files import (
    LockEnvironment,
    check_floors,
    environments,
    read_debian,
    read_python,
)
from mpbuild.app.workspace.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.label import Label
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.files.atomic import tidy, write_new
from mpbuild.effects.files.disk import disk_error
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.python.index_views import IndexView, lay_out
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.threads import at_once
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.resolve import joint_lock
from mpbuild.spec.place import nearest

if TYPE_CHECKING:
    from mpbuild.app.lock.build_wheels import WheelBuilder
    from mpbuild.effects.store.store import Store
    from mpbuild.engine.protocols import TaskObserver

Lock = pylock.PythonLock | deblock.DebianLock


class Upgrade(msgspec.Struct, frozen=True):
    """The packages that may change versions: by their normalized names, or all of them."""

    names: frozenset[str] = frozenset()
    everything: bool = False

    def fresh(self, locked: Collection[str]) -> frozenset[str]:
        """The ``locked`` packages that may change versions."""
        return frozenset(
            name for name in locked if self.everything or canonicalize_name(name) in self.names
        )


NOTHING = Upgrade()


class VersionChange(msgspec.Struct, frozen=True):
    """A package whose version changed; a version is None if the lock lacks the package."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.after is None:
            return f"{self.name} {self.before} would be removed"
        return f"{self.name} would be {self.after}, not {self.before or 'absent'}"


LockKind = Literal["python", "debian"]


class LockReport(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that was written; ``bytes`` is the total size of its ``packages`` packages."""

    label: Label
    kind: LockKind
    environment: str
    path: str
    digest: Digest
    packages: int
    bytes: int
    changed: tuple[VersionChange, ...]


class EnvironmentResolution(msgspec.Struct, frozen=True):
    """A resolved environment: its previous locks, None if there were none, and its new locks."""

    environment: LockEnvironment
    old: tuple[pylock.PythonLock | None, deblock.DebianLock | None]
    new: EnvironmentLocks


class LockResolver:
    """Resolves targets; reads indexes and archives once for all of them."""

    def __init__(self, workspace: OpenWorkspace, *, web: HttpClient, uv: Uv, now: datetime) -> None:
        self._workspace = workspace
        self._web = web
        self._uv = uv
        self._projects = Projects(web)
        self._archives = DebianArchives(web, now)
        cooldown = workspace.settings.lock.cooldown
        self._released_before = now - timedelta(milliseconds=cooldown) if cooldown else None

    def wheel_builder(
        self, store: "Callable[[], Store]", observer: "TaskObserver"
    ) -> "WheelBuilder | None":
        """Returns a builder of missing wheels; None if no folder of the workspace builds wheels."""
        if not any(index.build for index in self._workspace.settings.indexes.values()):
            return None
        from mpbuild.app.lock.build_wheels import WheelBuilder

        return WheelBuilder(
            self._workspace,
            self._debian,
            store=store(),
            uv=self._uv,
            web=self._web,
            observer=observer,
            released_before=self._released_before,
        )

    def resolve(
        self, target: Target, upgrade: Upgrade = NOTHING, builder: "WheelBuilder | None" = None
    ) -> list[EnvironmentResolution]:
        """Resolves all environments and writes no lock; ``builder`` builds missing wheels first.

        Raises InputError if there is no solution, or the locks need more than base or spec promise;
        findings have the place in the spec that causes them.
        """
        found = environments(target)
        old = {environment.name: _present(environment) for environment in found}
        previous = {name: lock for name, (lock, _) in old.items() if lock}
        before = {name: lock for name, (_, lock) in old.items() if lock}
        _refuse_unknown(upgrade, target, [*previous.values(), *before.values()])
        known = [package.name for lock in before.values() for package in lock.packages]
        with at_once(1) as pool:
            # Reads archives while uv waits for indexes.
            reading = pool.submit(self._archives.lock, found, before, upgrade.fresh(known))
            with explained(target):
                locks = self._supplied(found, previous, upgrade, builder)
        findings = check_floors(target, found, locks)
        if findings:
            raise InputError.collect(findings)
        debs = reading.result()
        return [
            EnvironmentResolution(e, old[e.name], EnvironmentLocks(locks[e.name], debs[e.name]))
            for e in found
        ]

    def drift(self, target: Target, accelerators: Sequence[Accelerator] = ()) -> list[Finding]:
        """Returns what ``mpbuild lock`` would change now, as lock-drift findings.

        Also returns notes on Debian packages that only ``--upgrade`` would change.
        """
        return [
            finding
            for locked in self.resolve(target)
            if locked.environment.concerns(accelerators)
            for finding in (*_drift(locked), *self._outdated(locked))
        ]

    def _outdated(self, locked: EnvironmentResolution) -> Iterator[Finding]:
        _, lock = locked.old
        return self._archives.outdated(locked.environment, lock) if lock else iter(())

    @contextlib.contextmanager
    def views(self, found: Sequence[LockEnvironment]) -> Iterator[Mapping[Accelerator, IndexView]]:
        """Lays out the view of the indexes for each accelerator, in temporary folders."""
        with tempfile.TemporaryDirectory(prefix="mpbuild-indexes-") as folder:
            yield {
                serves: lay_out(
                    sources(self._workspace, serves),
                    Path(folder, serves),
                    self._projects,
                    self._released_before,
                )
                for serves in sorted({environment.serves for environment in found})
            }

    def _debian(self, environment: LockEnvironment) -> deblock.DebianLock:
        name, previous = environment.name, read_debian(environment)
        return self._archives.lock([environment], {name: previous} if previous else {})[name]

    def _supplied(
        self,
        found: Sequence[LockEnvironment],
        previous: Mapping[str, pylock.PythonLock],
        upgrade: Upgrade,
        builder: "WheelBuilder | None",
    ) -> dict[str, pylock.PythonLock]:
        if builder is None:
            return self._python(found, previous, upgrade)
        locked = {p.name: p.version for lock in previous.values() for p in lock.packages}
        return builder.supply(
            found,
            lambda: self._python(found, previous, upgrade),
            locked=locked,
            fresh=upgrade.fresh(locked),
        )

    def _python(
        self,
        found: Sequence[LockEnvironment],
        previous: Mapping[str, pylock.PythonLock],
        upgrade: Upgrade,
    ) -> dict[str, pylock.PythonLock]:
        """Resolves the accelerators jointly, and each further environment by itself."""
        accelerators = [e for e in found if e.accelerator is not None]
        groups = [accelerators, *([e] for e in found if e.accelerator is None)]
        known = [package.name for lock in previous.values() for package in lock.packages]
        with self.views(found) as views, at_once(len(groups)) as pool:

            def lock(group: Sequence[LockEnvironment]) -> dict[str, pylock.PythonLock]:
                with within(group):
                    return joint_lock.lock(
                        {environment.name: environment.python for environment in group},
                        views={one.name: views[one.serves] for one in group},
                        uv=self._uv,
                        web=self._web,
                        previous=previous,
                        fresh=upgrade.fresh(known),
                    )

            return {name: one for locks in pool.map(lock, groups) for name, one in locks.items()}


def keep(
    target: Target,
    resolved: Sequence[EnvironmentResolution],
    accelerators: Sequence[Accelerator] = (),
) -> list[LockReport]:
    """Writes the locks that changed, of all environments or only those of ``accelerators``."""
    reports = []
    for locked in resolved:
        environment = locked.environment
        if not environment.concerns(accelerators):
            continue
        files = (environment.python_file, environment.debian_file)
        texts = (pylock.write(locked.new.python), deblock.write(locked.new.debian))
        sizes = (
            sum(package.wheel.size for package in locked.new.python.packages),
            sum(package.size for package in locked.new.debian.packages),
        )
        new: tuple[Lock, Lock] = (locked.new.python, locked.new.debian)
        kinds: tuple[LockKind, LockKind] = ("python", "debian")
        for kind, file, text, size, before, after in zip(
            kinds, files, texts, sizes, locked.old, new, strict=True
        ):
            _write(file, text)
            reports.append(
                LockReport(
                    label=target.label,
                    kind=kind,
                    environment=environment.name,
                    path=environment.where(file),
                    digest=Digest.of(text.encode()),
                    packages=len(after.packages),
                    bytes=size,
                    changed=changes(before, after),
                )
            )
    return reports


def changes(
    old: Lock | None,
    new: Lock,
) -> tuple[VersionChange, ...]:
    """Returns the packages whose versions differ."""
    before, after = _versions(old), _versions(new)
    return tuple(
        VersionChange(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _present(
    environment: LockEnvironment,
) -> tuple[pylock.PythonLock | None, deblock.DebianLock | None]:
    return read_python(environment), read_debian(environment)


def _drift(locked: EnvironmentResolution) -> Iterator[Finding]:
    environment = locked.environment
    files = (environment.python_file, environment.debian_file)
    today: tuple[Lock, Lock] = (locked.new.python, locked.new.debian)
    for file, old, new in zip(files, locked.old, today, strict=True):
        if old == new:
            continue
        parts = [str(change) for change in changes(old, new)] if old else ["there is no lock"]
        message = "; ".join(parts) or "the lock would differ in other fields than versions"
        yield Finding(Code.LOCK_DRIFT, message, environment.where(file), "run `mpbuild lock`")


def _versions(lock: Lock | None) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages} if lock else {}


def _refuse_unknown(upgrade: Upgrade, target: Target, locks: Collection[Lock]) -> None:
    known = {canonicalize_name(package.name) for lock in locks for package in lock.packages}
    findings = [
        Finding(
            Code.SPEC_INVALID,
            f"no lock has a package {name!r} to upgrade",
            str(target.label),
            nearest(name, known),
        )
        for name in sorted(upgrade.names - known)
    ]
    if findings:
        raise InputError.collect(findings)


def _write(path: Path, text: str) -> None:
    """Replaces a lock, all or nothing, if it changed."""
    data = text.encode()
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        write_new(path.parent, path, data)
        path.chmod(0o644)
    except OSError as error:
        raise disk_error(error, path) from error
