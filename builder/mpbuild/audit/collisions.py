"""Finds wheels that install the same path, one of which would silently win.

Codes: file-collision, entry-point-collision.

Equal bytes, such as empty ``__init__.py`` files, do no harm. Layers of wheels overlay each other,
so nothing else would detect a collision.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.install_paths import installed, script
from mpbuild.audit.read_wheel_facts import WheelContents
from mpbuild.audit.wheel_facts import MemberFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding

Trees = Mapping[str, Mapping[str, MemberFacts]]
"""The files that packages install, by package and path."""

_HINT = (
    "depend on one of the two, or exclude one with an override whose marker is never true; if it"
    " is harmless, give the reason in environment.accepted"
)


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields all collisions of an environment."""
    trees = {
        package.name: installed(
            WheelContents(facts.dist_info, facts.files), package.name, subject.python
        )
        for package, facts in subject.wheels
    }
    yield from of_files(trees, subject.file)
    yield from _of_scripts(subject, trees)


def of_files(trees: Trees, file: str) -> Iterator[Observation]:
    """Yields pairs of packages that differ at a path, or of which one has a folder there."""
    shared, differing = _shared(trees), _differing(trees)
    for pair in sorted(differing):
        first, second = pair
        paths = sorted(differing[pair])
        count = max(shared[pair], len(paths))
        yield Observation(
            Finding(
                Code.FILE_COLLISION,
                f"{first} and {second} install {_counted(count, 'file')} at the same path, of which"
                f" {len(paths)} {'differs' if len(paths) == 1 else 'differ'}, such as /{paths[0]}",
                f"{file}: packages: {first}",
                _HINT,
            ),
            pair,
        )


def _shared(trees: Trees) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for owners in _owners(trees).values():
        for pair in combinations(sorted(owners), 2):
            counts[pair] += 1
    return counts


def _differing(trees: Trees) -> dict[tuple[str, str], set[str]]:
    owners = _owners(trees)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path, names in owners.items():
        for first, second in combinations(sorted(names), 2):
            if trees[first][path] != trees[second][path]:
                found[first, second].add(path)
        for folder in _folders(path):
            for other in owners.get(folder, ()):
                for name in names - {other}:
                    first, second = sorted((name, other))
                    found[first, second].add(folder)
    return found


def _owners(trees: Trees) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for path in tree:
            owners[path].add(name)
    return owners


def _folders(path: str) -> Iterator[str]:
    parent = path.rpartition("/")[0]
    while parent:
        yield parent
        parent = parent.rpartition("/")[0]


def _of_scripts(subject: AuditedEnvironment, trees: Trees) -> Iterator[Observation]:
    owners: dict[str, set[str]] = defaultdict(set)
    made = {(name, p.name) for p, facts in subject.wheels for name in facts.scripts}
    for name, package in made:
        owners[name].add(package)
        # Another wheel may have a file at the path of the script.
        owners[name] |= {other for other in trees if script(name) in trees[other]}
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, packages in owners.items():
        for pair in combinations(sorted(packages), 2):
            pairs[pair].append(name)
    for (first, second), names in sorted(pairs.items()):
        yield Observation(
            Finding(
                Code.ENTRY_POINT_COLLISION,
                f"{first} and {second} both install the script {_listed(names)}",
                subject.at(first),
                _HINT,
            ),
            (first, second),
        )


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    rest = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + rest


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
