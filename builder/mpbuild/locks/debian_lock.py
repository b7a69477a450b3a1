"""Debian locks: the closure of a base's packages, and what a model's own add to it.

What was locked stays as long as the archive has it and it does: the archive drops a version when
the next one comes, so what is gone moves, and with it what must.
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
    """Everything that a Debian lock is resolved from besides the archive, in one order.

    ``security`` says whether security updates count, ``snapshot`` at which moment the archive is
    looked at (empty: today).
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
        """The digest of the canonical JSON of the inputs."""
        return canonical.digest(plain(self))

    @property
    def links(self) -> tuple[Link, ...]:
        """The whole link table."""
        return tuple(sorted((*self.base_links, *self.system_links)))


class OutdatedPackage(msgspec.Struct, frozen=True):
    """A locked package that the archive has moved on from.

    ``offered`` is the newest version there, empty where there is none at all; ``security`` says
    that a newer one is a security update, ``gone`` that the locked one is no longer there.
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
    """The canonical inputs: package names and link tables of the base and of the model."""
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
    """Lock the environments of one base together; raise InputError where there is no solution.

    What one of the locks in ``previous`` has stays, the same in all of them, unless its name is
    among ``fresh``, the archive has dropped it, or something asks for a newer one. A file of
    ``previous`` that has other bytes today is an InputError (content-mismatch).
    """
    locked = [package for one in previous.values() for package in one.packages]
    _refuse_changed(locked, index)
    kept = _kept((package for package in locked if package.name not in fresh), index)
    packages = _resolve_all(wanted, index, kept)
    return {name: _lock(name, one, packages[name]) for name, one in wanted.items()}


def newer(lock: DebianLock, index: PackagesIndex) -> tuple[OutdatedPackage, ...]:
    """The packages of ``lock`` that ``index`` has newer versions of, or no longer has."""
    return tuple(found for package in lock.packages if (found := _newer(package, index)))


def _resolve_all(
    wanted: Mapping[str, DebianInputs], index: PackagesIndex, kept: Mapping[str, IndexedPackage]
) -> dict[str, tuple[DebianPackage, ...]]:
    """The closures of all, with as much ``kept`` as there can be."""
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
    """The rows without the reasons why packages are left out."""
    rows = {Link(table.package, table.path or "", table.target or "") for table in tables}
    return tuple(sorted(rows))


def _wrong_links(wanted: DebianInputs, packages: Iterable[DebianPackage]) -> Iterator[Finding]:
    base = {package.name: package.base for package in packages}
    for row in wanted.base_links:
        if not base.get(row.package):
            message = f"the base's links name {row.package}, which is none of its packages"
            yield Finding(Code.SPEC_INVALID, message, hint="take it out, or add it to `packages`")
    for row in wanted.system_links:
        if row.package not in base:
            message = f"environment.links name {row.package}, which is none of the packages"
            yield Finding(Code.SPEC_INVALID, message, hint="take it out, or add it to `system`")
        elif base[row.package]:
            message = f"environment.links name {row.package}, which the base brings"
            yield Finding(Code.SPEC_INVALID, message, hint="move it to the links of the base")
    for path, count in Counter(row.path for row in wanted.links if row.path).items():
        if count > 1:
            yield Finding(Code.SPEC_INVALID, f"two links of the link table would stand at {path}")


def _kept(locked: Iterable[DebianPackage], index: PackagesIndex) -> dict[str, IndexedPackage]:
    """What the archive still has of ``locked``, in the highest of the locked versions."""
    kept: dict[str, IndexedPackage] = {}
    for package in locked:
        found = _same(package, index)
        known = kept.get(package.name)
        if found and (not known or version_key(known.version) < version_key(found.version)):
            kept[package.name] = found
    return kept


def _same(package: DebianPackage, index: PackagesIndex) -> IndexedPackage | None:
    """The very file in ``index``, at its old path if it is there, too."""
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
            f"the archive has other bytes for it than the lock: {p.sha256}, not {package.sha256}",
            package.path,
            "released files never change: find out which of the two is false before locking again",
        )
        for package in locked
        for p in index.versions(package.name)
        if p.sha256 != package.sha256 and _is_same_file(p, package)
    }
    if findings:
        raise InputError.collect(sorted(findings))


def _is_same_file(package: IndexedPackage, locked: DebianPackage) -> bool:
    """Whether both should be one file, by version or by path."""
    version = (package.version, package.architecture) == (locked.version, locked.architecture)
    return version or (package.path, package.security) == (locked.path, locked.security)
