"""Computes the closure of Debian packages over an index, independent of any order."""

import difflib
from collections.abc import Collection, Mapping, Sequence

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.debian.deblock import ARCHITECTURE, DebianPackage, filename, is_pool_path
from mpbuild.formats.debian.packages_index import IndexedPackage, PackagesIndex, provides
from mpbuild.formats.debian.relation import Alternatives, Relation

Chosen = dict[str, IndexedPackage]

_FOR_SCRIPTS = frozenset({"dpkg", "debconf", "debconf-2.0", "install-info"})


class HeldBackError(InputError):
    """Packages that are kept at older versions prevent a solution; ``names`` lists them."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        super().__init__(f"older versions of {', '.join(sorted(names))} prevent a solution")


def resolve(
    index: PackagesIndex, base: Sequence[str], system: Sequence[str] = ()
) -> tuple[DebianPackage, ...]:
    """Computes the closure of ``base``, then of ``system`` above it, over Depends and Pre-Depends.

    Excludes Essential and recommended packages, and those that only maintainer scripts need, which
    never run: dpkg and debconf must be named. The base's part does not depend on ``system``, so
    that models share it. Raises InputError if there is no solution, HeldBackError if there might be
    one without the kept versions.
    """
    chosen: Chosen = {}
    _close(index, sorted(base), chosen)
    shared = set(chosen)
    _close(index, sorted(system), chosen)
    _refuse_conflicts(index, chosen)
    return tuple(locked(chosen[name], base=name in shared) for name in sorted(chosen))


def _close(index: PackagesIndex, names: Sequence[str], chosen: Chosen) -> None:
    """Adds the closure of ``names`` to ``chosen``.

    Follows dependencies without alternatives first. If no alternative of a dependency is chosen by
    then, takes the first one, as apt does.
    """
    waiting: list[tuple[str, Alternatives]] = []
    for name in names:
        _add(_wanted(index, name), chosen, waiting)
    while waiting:
        waiting.sort(key=lambda item: (len(item[1]) > 1, item[0], tuple(map(str, item[1]))))
        owner, alternatives = waiting.pop(0)
        if not any(_satisfies(package, r) for r in alternatives for package in chosen.values()):
            _add(_first(index, owner, alternatives), chosen, waiting)


def _add(package: IndexedPackage, chosen: Chosen, waiting: list[tuple[str, Alternatives]]) -> None:
    if package.name not in chosen:
        chosen[package.name] = package
        waiting += [
            (package.name, group)
            for group in package.depends
            if not any(relation.name in _FOR_SCRIPTS for relation in group)
        ]


def _wanted(index: PackagesIndex, name: str) -> IndexedPackage:
    package = index.get(name)
    if package:
        return package
    providers = [provider.name for provider in index.providers(Relation(name))]
    if providers:
        hint = f"it is provided by {', '.join(providers[:5])}: name one of them"
    else:
        near = difflib.get_close_matches(name, index.names, 1, 0.75)
        hint = f"did you mean {near[0]}?" if near else "use Debian's package names"
    raise InputError(f"there is no Debian package {name!r}", hint=hint)


def _first(index: PackagesIndex, owner: str, alternatives: Alternatives) -> IndexedPackage:
    for relation in alternatives:
        package, newest = index.get(relation.name), index.newest(relation.name)
        if package and _satisfies(package, relation):
            return package
        if newest and index.held(relation.name) and _satisfies(newest, relation):
            raise HeldBackError({relation.name})
        providers = [p for p in index.providers(relation) if _satisfies(p, relation)]
        if providers:
            return providers[0]
    held = {owner} if index.held(owner) else index.all_held
    if held:
        raise HeldBackError(held)
    wanted = " | ".join(map(str, alternatives))
    raise InputError(f"{owner} needs {wanted}, which the archive lacks")


def _satisfies(package: IndexedPackage, relation: Relation) -> bool:
    if relation.qualifier not in ("", "any", package.architecture, ARCHITECTURE):
        return False
    if package.name == relation.name and relation.admits(package.version):
        return True
    return provides(package, relation)


def _refuse_conflicts(index: PackagesIndex, chosen: Mapping[str, IndexedPackage]) -> None:
    conflicts = [
        (package.name, other.name, relation)
        for package in chosen.values()
        for relation in package.conflicts
        for other in chosen.values()
        if other.name != package.name and _satisfies(other, relation)
    ]
    held = {name for pair in conflicts for name in pair[:2] if index.held(name)}
    if held:
        raise HeldBackError(held)
    if conflicts:
        findings = [
            Finding(Code.SPEC_INVALID, f"{name} and {other} conflict: {relation}")
            for name, other, relation in conflicts
        ]
        raise InputError.collect(sorted(findings))


def locked(package: IndexedPackage, *, base: bool) -> DebianPackage:
    """Returns the lock's form of a package; raises InputError for one outside of the pool."""
    file = filename(package.name, package.version, package.architecture)
    if not is_pool_path(package.path, file):
        raise InputError(
            f"the archive has {package.name} at {package.path!r}, not as {file} in pool/",
            code=Code.CONTENT_MISMATCH,
        )
    return DebianPackage(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        base=base,
        path=package.path,
        sha256=package.sha256,
        size=package.size,
        security=package.security,
    )
