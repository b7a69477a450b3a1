"""Debian locks: the closure of a base's packages, and what a model's own add to it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mpbuild.base import canonical
from mpbuild.base.coding import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.request import Request
from mpbuild.formats.debindex import Alternatives, Package, Packages, Relation, provides
from mpbuild.formats.deblock import (
    ARCHITECTURE,
    FORMAT,
    DebianLock,
    DebianPackage,
    filename,
    is_pool_path,
)

Chosen = dict[str, Package]

_FOR_SCRIPTS = frozenset({"dpkg", "debconf", "debconf-2.0", "install-info"})


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a Debian lock is resolved from besides the archive, in one order."""

    suite: str
    base: tuple[str, ...]
    system: tuple[str, ...]
    architecture: str = ARCHITECTURE
    format: int = FORMAT

    @property
    def digest(self) -> Digest:
        """The digest of the canonical JSON of the inputs."""
        return canonical.digest(plain(self))


def inputs(suite: str, base: Iterable[str], system: Iterable[str] = ()) -> Inputs:
    """The canonical inputs: package names of the base and of the model."""
    return Inputs(suite=suite, base=tuple(sorted(set(base))), system=tuple(sorted(set(system))))


def lock(
    wanted: Inputs, *, environment: str, index: Packages, previous: DebianLock | None = None
) -> DebianLock:
    """Resolve ``wanted``; raise InputError where it has no solution.

    A file of ``previous`` that has other bytes today is an InputError (content-mismatch).
    """
    packages = resolve(index, wanted.base, wanted.system)
    _refuse_changed(packages, previous)
    return DebianLock(
        environment=environment,
        suite=wanted.suite,
        architecture=wanted.architecture,
        resolution=wanted.digest,
        packages=packages,
    )


def requests(lock: DebianLock, mirrors: Sequence[str]) -> tuple[Request, ...]:
    """How to get the packages of ``lock`` from any of ``mirrors``."""
    return tuple(
        Request(
            name=filename(package.name, package.version, package.architecture),
            urls=tuple(f"{mirror}/{package.path}" for mirror in mirrors),
            digest=package.sha256,
            size=package.size,
        )
        for package in lock.packages
    )


def resolve(
    index: Packages, base: Sequence[str], system: Sequence[str] = ()
) -> tuple[DebianPackage, ...]:
    """The closure of ``base``, then of ``system`` above it, over Depends and Pre-Depends.

    Essential packages are not implied, nor is what is only recommended, nor what only maintainer
    scripts need, since they never run: dpkg and debconf come in by name alone. The base's part
    doesn't depend on ``system``, so that models share it.
    """
    chosen: Chosen = {}
    _close(index, sorted(base), chosen)
    shared = set(chosen)
    _close(index, sorted(system), chosen)
    _refuse_conflicts(chosen)
    return tuple(_locked(chosen[name], base=name in shared) for name in sorted(chosen))


def _close(index: Packages, names: Sequence[str], chosen: Chosen) -> None:
    """Add the closure of ``names`` to ``chosen``.

    Dependencies without an alternative go first, so that a choice is made only where none of
    the alternatives comes in anyway; then the first alternative counts, as in apt.
    """
    waiting: list[tuple[str, Alternatives]] = []
    for name in names:
        _add(_wanted(index, name), chosen, waiting)
    while waiting:
        waiting.sort(key=lambda item: (len(item[1]) > 1, item[0], tuple(map(str, item[1]))))
        owner, alternatives = waiting.pop(0)
        if not any(_satisfies(package, r) for r in alternatives for package in chosen.values()):
            _add(_first(index, owner, alternatives), chosen, waiting)


def _add(package: Package, chosen: Chosen, waiting: list[tuple[str, Alternatives]]) -> None:
    if package.name not in chosen:
        chosen[package.name] = package
        waiting += [
            (package.name, group)
            for group in package.depends
            if not any(relation.name in _FOR_SCRIPTS for relation in group)
        ]


def _wanted(index: Packages, name: str) -> Package:
    package = index.get(name)
    if package:
        return package
    providers = [provider.name for provider in index.providers(Relation(name))]
    if providers:
        hint = f"it is provided by {', '.join(providers[:5])}: name one of them"
    else:
        near = difflib.get_close_matches(name, index.names, 1, 0.75)
        hint = f"did you mean {near[0]}?" if near else "packages are named as in Debian"
    raise InputError(f"there is no Debian package {name!r}", hint=hint)


def _first(index: Packages, owner: str, alternatives: Alternatives) -> Package:
    for relation in alternatives:
        package = index.get(relation.name)
        if package and _satisfies(package, relation):
            return package
        providers = [p for p in index.providers(relation) if _satisfies(p, relation)]
        if providers:
            return providers[0]
    wanted = " | ".join(map(str, alternatives))
    raise InputError(f"{owner} needs {wanted}, which the archive doesn't have")


def _satisfies(package: Package, relation: Relation) -> bool:
    if relation.qualifier not in ("", "any", package.architecture, ARCHITECTURE):
        return False
    if package.name == relation.name and relation.admits(package.version):
        return True
    return provides(package, relation)


def _refuse_conflicts(chosen: Mapping[str, Package]) -> None:
    findings = [
        Finding("spec-invalid", f"{package.name} and {other.name} exclude each other: {relation}")
        for package in chosen.values()
        for relation in package.conflicts
        for other in chosen.values()
        if other.name != package.name and _satisfies(other, relation)
    ]
    if findings:
        raise InputError.collect(sorted(findings))


def _locked(package: Package, *, base: bool) -> DebianPackage:
    file = filename(package.name, package.version, package.architecture)
    if not is_pool_path(package.path, file):
        raise InputError(
            f"the archive keeps {package.name} at {package.path!r}, not as {file} in pool/",
            code="content-mismatch",
        )
    return DebianPackage(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        base=base,
        path=package.path,
        sha256=package.sha256,
        size=package.size,
    )


def _refuse_changed(packages: Iterable[DebianPackage], previous: DebianLock | None) -> None:
    old = {package.path: package.sha256 for package in previous.packages} if previous else {}
    findings = [
        Finding(
            "content-mismatch",
            f"the archive has other bytes for it than the lock: {p.sha256}, not {old[p.path]}",
            p.path,
            "released files never change: find out which of the two is false before locking again",
        )
        for p in packages
        if old.get(p.path, p.sha256) != p.sha256
    ]
    if findings:
        raise InputError.collect(findings)
