"""The Packages index of a suite (Debian repository format, "Packages Indices").

Malformed data raises InputError (content-mismatch).
"""

import copy
import re
from collections.abc import Mapping, Sequence

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.formats.debian.control import Paragraph, malformed, read_paragraphs, required
from mpbuild.formats.debian.relation import Alternatives, Relation, read_relations
from mpbuild.formats.debian.version import version_key

_PROVIDES = re.compile(r"Provides:(.*(?:\n[ \t].*)*)")


class IndexedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package of an index; ``depends`` includes Pre-Depends, ``conflicts`` Breaks.

    ``security`` marks packages of the security archive.
    """

    name: str
    version: str
    architecture: str
    depends: tuple[Alternatives, ...]
    conflicts: tuple[Relation, ...]
    provides: tuple[Relation, ...]
    path: str
    sha256: Digest
    size: int
    security: bool = False


class PackagesIndex:
    """The Packages index of a suite, optionally with that of its security updates.

    It parses paragraphs (60,000 in a suite) on demand.
    """

    __slots__ = ("_by_name", "_kept", "_provided", "_read")

    def __init__(self, text: str, security: str = "") -> None:
        self._by_name: dict[str, list[tuple[str, bool]]] = {}
        self._kept: Mapping[str, IndexedPackage] = {}
        self._provided: dict[str, list[str]] = {}
        self._read: dict[str, tuple[IndexedPackage, ...]] = {}
        for source, updates in ((text, False), (security, True)):
            for block in source.split("\n\n"):
                if block.strip():
                    self._by_name.setdefault(_name(block), []).append((block, updates))

    def keeping(self, kept: Mapping[str, IndexedPackage]) -> "PackagesIndex":
        """The same index, but ``get`` prefers the packages in ``kept`` to newer ones."""
        other = copy.copy(self)
        other._kept = kept
        return other

    @property
    def names(self) -> Sequence[str]:
        """The names of all packages."""
        return tuple(self._by_name)

    def get(self, name: str) -> IndexedPackage | None:
        """The package ``name``: the kept one, else the one with the highest version."""
        return self._kept.get(name) or self.newest(name)

    def held(self, name: str) -> bool:
        """Whether the kept version of the package ``name`` is older than the newest."""
        kept, newest = self._kept.get(name), self.newest(name)
        return bool(kept and newest and kept.version != newest.version)

    @property
    def all_held(self) -> frozenset[str]:
        """The names of all packages that are held."""
        return frozenset(filter(self.held, self._kept))

    def newest(self, name: str) -> IndexedPackage | None:
        """The package ``name`` with the highest version; among equals, that of the suite."""
        return next(iter(self.versions(name)), None)

    def versions(self, name: str) -> Sequence[IndexedPackage]:
        """All packages ``name``, the highest version first."""
        if name not in self._read:
            rows = self._by_name.get(name, ())
            found = [_package(block, security=security) for block, security in rows]
            found.sort(key=lambda p: (version_key(p.version), not p.security), reverse=True)
            self._read[name] = tuple(found)
        return self._read[name]

    def providers(self, relation: Relation) -> list[IndexedPackage]:
        """The packages that provide ``relation``, sorted by name."""
        if not self._provided:
            self._provided.update(self._find_provided())
        named = (self.get(name) for name in self._provided.get(relation.name, ()))
        return [package for package in named if package and provides(package, relation)]

    def _find_provided(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, blocks in sorted(self._by_name.items()):
            offers = {offer for block, _ in blocks for offer in _offered(block)}
            for offer in sorted(offers):
                found.setdefault(offer, []).append(name)
        return found


def provides(package: IndexedPackage, relation: Relation) -> bool:
    """Whether one of the ``Provides`` of ``package`` satisfies ``relation`` (policy, section 7.5).

    Only a versioned ``Provides`` satisfies a bound.
    """
    return any(
        offer.name == relation.name
        and (not relation.operator or (offer.version != "" and relation.admits(offer.version)))
        for offer in package.provides
    )


def _name(block: str) -> str:
    head, _, name = block.lstrip("\n").split("\n", 1)[0].partition(": ")
    return name.strip() if head == "Package" else required(_only(block), "package")


def _offered(block: str) -> list[str]:
    start = block.find("\nProvides:")  # much faster than a regular expression on every paragraph
    match = _PROVIDES.match(block, start + 1) if start >= 0 else None
    offers = match.group(1).split(",") if match else []
    return [words[0] for offer in offers if (words := offer.split())]


def _package(block: str, *, security: bool) -> IndexedPackage:
    fields = _only(block)
    size = required(fields, "size")
    digits = required(fields, "sha256")
    if not re.fullmatch(r"\d{1,15}", size, re.ASCII) or not re.fullmatch("[0-9a-f]{64}", digits):
        raise malformed(f"malformed size or sha256 of {fields['package']!r}")
    excluded = [*_relations(fields, "conflicts"), *_relations(fields, "breaks")]
    return IndexedPackage(
        name=required(fields, "package"),
        version=required(fields, "version"),
        architecture=required(fields, "architecture"),
        depends=(*_relations(fields, "pre-depends"), *_relations(fields, "depends")),
        conflicts=tuple(group[0] for group in excluded),
        provides=tuple(group[0] for group in _relations(fields, "provides")),
        path=required(fields, "filename"),
        sha256=Digest.from_hex(digits),
        size=int(size),
        security=security,
    )


def _relations(fields: Paragraph, field: str) -> tuple[Alternatives, ...]:
    return read_relations(fields.get(field, ""))


def _only(block: str) -> dict[str, str]:
    return next(read_paragraphs(block), {})
