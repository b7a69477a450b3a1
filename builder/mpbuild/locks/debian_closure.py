"""The closure of Debian packages over an index: one answer, whatever the order of anything."""

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
    """Packages, by ``names``, that are kept older than they could be stand in the way."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        super().__init__(f"older versions of {', '.join(sorted(names))} are in the way")


def resolve(
    index: PackagesIndex, base: Sequence[str], system: Sequence[str] = ()
) -> tuple[DebianPackage, ...]:
    """The closure of ``base``, then of ``system`` above it, over Depends and Pre-Depends.

    Essential packages are not implied, nor is what is only recommended, nor what only maintainer
    scripts need, since they never run: dpkg and debconf come in by name alone. The base's part
    doesn't depend on ``system``, so that models share it. Raise InputError where there is no
    solution, HeldBackError where there might be one if packages that are kept were not.
    """
    chosen: Chosen = {}
    _close(index, sorted(base), chosen)
    shared = set(chosen)
    _close(index, sorted(system), chosen)
    _refuse_conflicts(index, chosen)
    return tuple(locked(chosen[name], base=name in shared) for name in sorted(chosen))


def _close(index: PackagesIndex, names: Sequence[str], chosen: Chosen) -> None:
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
        hint = f"did you mean {near[0]}?" if near else "packages are named as in Debian"
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
    raise InputError(f"{owner} needs {wanted}, which the archive doesn't have")


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
            Finding(Code.SPEC_INVALID, f"{name} and {other} exclude each other: {relation}")
            for name, other, relation in conflicts
        ]
        raise InputError.collect(sorted(findings))


def locked(package: IndexedPackage, *, base: bool) -> DebianPackage:
    """A package of the index as a lock has it; raise InputError for one outside of the pool."""
    file = filename(package.name, package.version, package.architecture)
    if not is_pool_path(package.path, file):
        raise InputError(
            f"the archive keeps {package.name} at {package.path!r}, not as {file} in pool/",
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
