"""Locks Debian packages: the closure of a base, and the packages that a model adds.

Locked versions stay while the archive has them and they satisfy the dependencies. The archive drops
a version when the next one arrives; such packages move, and others as far as necessary.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.debian.deblock import (
    ARCHITECTURE,
    FORMAT,
    DebianLock,
    DebianPackage,
    Link,
)
from mpbuild.formats.debian.packages_index import IndexedPackage, PackagesIndex
from mpbuild.formats.debian.version import version_key
from mpbuild.locks.debian_closure import HeldBackError, resolve
from mpbuild.spec.workspace import LinkSettings as LinkTable


class DebianInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a Debian lock besides the archive, in canonical order.

    ``security`` includes security updates. ``snapshot`` is the time of the archive; empty means
    today.
    """

    suite: str
    base: tuple[str, ...]
    system: tuple[str, ...]
    security: bool
    snapshot: str
    base_links: tuple[Link, ...]
    system_links: tuple[Link, ...]
    architecture: str = ARCHITECTURE
    format: int = FORMAT

    @property
    def digest(self) -> Digest:
        """The digest of the inputs as canonical JSON."""
        return canonical.digest(plain(self))

    @property
    def links(self) -> tuple[Link, ...]:
        """The link table of base and model."""
        return tuple(sorted((*self.base_links, *self.system_links)))


class OutdatedPackage(msgspec.Struct, frozen=True):
    """A locked package of which the archive has a newer version, or none.

    ``offered`` is the newest version, empty if there is none. ``security`` marks a newer version as
    a security update, ``gone`` that the archive no longer has the locked one.
    """

    name: str
    locked: str
    offered: str
    security: bool
    gone: bool


def inputs(
    suite: str,
    base: Iterable[str],
    system: Iterable[str] = (),
    *,
    security: bool = True,
    snapshot: str = "",
    base_links: Iterable[LinkTable] = (),
    system_links: Iterable[LinkTable] = (),
) -> DebianInputs:
    """Returns the canonical inputs: package names and link tables of base and model."""
    return DebianInputs(
        suite=suite,
        base=tuple(sorted(set(base))),
        system=tuple(sorted(set(system))),
        security=security,
        snapshot=snapshot,
        base_links=_rows(base_links),
        system_links=_rows(system_links),
    )


def lock(
    wanted: Mapping[str, DebianInputs],
    *,
    index: PackagesIndex,
    previous: Mapping[str, DebianLock] = MappingProxyType({}),
    fresh: Collection[str] = (),
) -> dict[str, DebianLock]:
    """Locks the environments of a base together; raises InputError if there is no solution.

    Packages of ``previous`` locks keep their versions, the same in all environments, unless they
    are in ``fresh``, the archive has dropped them, or a dependency needs a newer version. Raises
    InputError (content-mismatch) if a file of ``previous`` has changed.
    """
    locked = [package for one in previous.values() for package in one.packages]
    _refuse_changed(locked, index)
    kept = _kept((package for package in locked if package.name not in fresh), index)
    packages = _resolve_all(wanted, index, kept)
    return {name: _lock(name, one, packages[name]) for name, one in wanted.items()}


def newer(lock: DebianLock, index: PackagesIndex) -> tuple[OutdatedPackage, ...]:
    """Yields the packages of ``lock`` that ``index`` has in newer versions, or no longer has."""
    return tuple(found for package in lock.packages if (found := _newer(package, index)))


def _resolve_all(
    wanted: Mapping[str, DebianInputs], index: PackagesIndex, kept: Mapping[str, IndexedPackage]
) -> dict[str, tuple[DebianPackage, ...]]:
    """The closures of all environments, keeping as many ``kept`` versions as possible."""
    while True:
        view = index.keeping(kept)
        try:
            return {name: resolve(view, one.base, one.system) for name, one in wanted.items()}
        except HeldBackError as error:
            kept = {name: package for name, package in kept.items() if name not in error.names}


def _lock(
    environment: str, wanted: DebianInputs, packages: tuple[DebianPackage, ...]
) -> DebianLock:
    findings = list(_wrong_links(wanted, packages))
    if findings:
        raise InputError.collect(findings)
    return DebianLock(
        environment=environment,
        suite=wanted.suite,
        architecture=wanted.architecture,
        resolution=wanted.digest,
        packages=packages,
        links=wanted.links,
    )


def _rows(tables: Iterable[LinkTable]) -> tuple[Link, ...]:
    """The link table without the reasons for excluded packages."""
    rows = {Link(table.package, table.path or "", table.target or "") for table in tables}
    return tuple(sorted(rows))


def _wrong_links(wanted: DebianInputs, packages: Iterable[DebianPackage]) -> Iterator[Finding]:
    base = {package.name: package.base for package in packages}
    for row in wanted.base_links:
        if not base.get(row.package):
            message = f"the base's links name {row.package}, which is not one of its packages"
            yield Finding(Code.SPEC_INVALID, message, hint="remove it, or add it to `packages`")
    for row in wanted.system_links:
        if row.package not in base:
            message = f"environment.links name {row.package}, which is not one of the packages"
            yield Finding(Code.SPEC_INVALID, message, hint="remove it, or add it to `system`")
        elif base[row.package]:
            message = f"environment.links name {row.package}, which is part of the base"
            yield Finding(Code.SPEC_INVALID, message, hint="move it to the links of the base")
    for path, count in Counter(row.path for row in wanted.links if row.path).items():
        if count > 1:
            yield Finding(Code.SPEC_INVALID, f"the link table has two links at {path}")


def _kept(locked: Iterable[DebianPackage], index: PackagesIndex) -> dict[str, IndexedPackage]:
    """The locked packages that the archive still has, at the highest locked version."""
    kept: dict[str, IndexedPackage] = {}
    for package in locked:
        found = _same(package, index)
        known = kept.get(package.name)
        if found and (not known or version_key(known.version) < version_key(found.version)):
            kept[package.name] = found
    return kept


def _same(package: DebianPackage, index: PackagesIndex) -> IndexedPackage | None:
    """The same file in ``index``, at its old path if possible."""
    found = [p for p in index.versions(package.name) if p.sha256 == package.sha256]
    return min(found, key=lambda p: (p.path != package.path, p.path), default=None)


def _newer(package: DebianPackage, index: PackagesIndex) -> OutdatedPackage | None:
    own = version_key(package.version)
    versions = index.versions(package.name)
    later = [p for p in versions if version_key(p.version) > own]
    gone = not any(p.version == package.version for p in versions)
    if not later and not gone:
        return None
    return OutdatedPackage(
        name=package.name,
        locked=package.version,
        offered=versions[0].version if versions else "",
        security=any(p.security for p in later),
        gone=gone,
    )


def _refuse_changed(locked: Iterable[DebianPackage], index: PackagesIndex) -> None:
    findings = {
        Finding(
            Code.CONTENT_MISMATCH,
            f"the archive has {p.sha256}, the lock {package.sha256}",
            package.path,
            "released files never change: find out which one is wrong before locking again",
        )
        for package in locked
        for p in index.versions(package.name)
        if p.sha256 != package.sha256 and _is_same_file(p, package)
    }
    if findings:
        raise InputError.collect(sorted(findings))


def _is_same_file(package: IndexedPackage, locked: DebianPackage) -> bool:
    """Whether both describe the same file, by version or by path."""
    version = (package.version, package.architecture) == (locked.version, locked.architecture)
    return version or (package.path, package.security) == (locked.path, locked.security)
