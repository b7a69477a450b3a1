"""Debian's control data: paragraphs, versions, relations, a Release file, a Packages index.

Debian policy 4.6, chapter 5 (control files), section 7.1 (relations), deb-version(7), and the
Debian repository format. Whatever breaks them is an InputError (content-mismatch).
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

Paragraph = Mapping[str, str]

_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_VERSION = re.compile(
    r"(?:(\d+):)?(?=[A-Za-z0-9])((?(1)[A-Za-z0-9.+~:-]|[A-Za-z0-9.+~-])+?(?<!-))(?:-([A-Za-z0-9.+~]+))?",
    re.ASCII,
)
_PIECE = re.compile(r"(\D*)(\d*)")
_RELATION = re.compile(
    r"([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?"
    r"(?:\s*\(\s*(<<|<=|=|>=|>>)\s*([^\s()]+)\s*\))?"
    r"(?:\s*\[([^\[\]]+)\])?",
    re.ASCII,
)
_PROVIDES = re.compile(r"Provides:(.*(?:\n[ \t].*)*)")
_CHECKSUM = re.compile(r"([0-9a-f]{64})\s+(\d{1,15})\s+(\S+)", re.ASCII)

Order = tuple[tuple[tuple[int, ...], int], ...]
VersionKey = tuple[int, Order, Order]


class Relation(msgspec.Struct, frozen=True):
    """``name:qualifier (operator version) [architectures]``; what isn't said is empty."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""
    architectures: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As control files write it, without the architectures."""
        bound = f" ({self.operator} {self.version})" if self.operator else ""
        return self.name + (f":{self.qualifier}" if self.qualifier else "") + bound

    def applies(self, architecture: str) -> bool:
        """Whether the list of architectures, if there is one, covers ``architecture``."""
        if not self.architectures:
            return True
        if self.architectures[0].startswith("!"):
            return f"!{architecture}" not in self.architectures
        return bool({architecture, "any", "linux-any"} & set(self.architectures))

    def admits(self, version: str) -> bool:
        """Whether ``version`` satisfies the bound."""
        if not self.operator:
            return True
        found, bound = version_key(version), version_key(self.version)
        return {
            "<<": found < bound,
            "<=": found <= bound,
            "=": found == bound,
            ">=": found >= bound,
            ">>": found > bound,
        }[self.operator]


Alternatives = tuple[Relation, ...]


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file: field name in lower case to value.

    The lines of a value that spans several are joined by line feeds, each without its first
    space.
    """
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip(" \t"):
            lines.append(line)
        elif lines:
            yield _paragraph(lines)
            lines = []


def relations(text: str) -> tuple[Alternatives, ...]:
    """A relation field: all of the groups, any one of the alternatives in each."""
    groups = [group for group in text.replace("\n", " ").split(",") if group.strip()]
    return tuple(tuple(_relation(part) for part in group.split("|")) for group in groups)


@cache
def version_key(version: str) -> VersionKey:
    """A key that sorts as deb-version(7) says: epoch, upstream version, revision."""
    match = _VERSION.fullmatch(version)
    if not match:
        raise _broken(f"{version[:120]!r} is no Debian version")
    epoch, upstream, revision = match.groups()
    return int(epoch or 0), _order(upstream), _order(revision or "0")


def release_files(release: Paragraph) -> dict[str, tuple[Digest, int]]:
    """The files that a Release file lists: path below its folder to digest and size in bytes."""
    rows = [line for line in release.get("sha256", "").split("\n") if line.strip()]
    found = {}
    for row in rows:
        match = _CHECKSUM.fullmatch(row.strip())
        if not match:
            raise _broken(f"{row[:120]!r} is no line of checksums")
        found[match.group(3)] = Digest.from_hex(match.group(1)), int(match.group(2))
    return found


class IndexedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """What a Packages index says of one package; ``depends`` holds Pre-Depends too.

    ``security`` says that the archive of security updates has it.
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
    """The Packages index of a suite, and of its security updates where there is one.

    The paragraphs (60,000 in a suite) are read when asked for.
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
        """The same index, in which ``get`` prefers ``kept`` ones of its packages to newer ones."""
        other = copy.copy(self)
        other._kept = kept
        return other

    @property
    def names(self) -> Sequence[str]:
        """Every package there is."""
        return tuple(self._by_name)

    def get(self, name: str) -> IndexedPackage | None:
        """The package called ``name``, in its highest version unless another is kept."""
        return self._kept.get(name) or self.newest(name)

    def held(self, name: str) -> bool:
        """Whether an older version of the package called ``name`` is kept than there is."""
        kept, newest = self._kept.get(name), self.newest(name)
        return bool(kept and newest and kept.version != newest.version)

    @property
    def all_held(self) -> frozenset[str]:
        """The names of all that are held."""
        return frozenset(filter(self.held, self._kept))

    def newest(self, name: str) -> IndexedPackage | None:
        """The package called ``name`` in its highest version; of equals the suite's own."""
        return next(iter(self.versions(name)), None)

    def versions(self, name: str) -> Sequence[IndexedPackage]:
        """All that are called ``name``, the highest version first."""
        if name not in self._read:
            rows = self._by_name.get(name, ())
            found = [_package(block, security=security) for block, security in rows]
            found.sort(key=lambda p: (version_key(p.version), not p.security), reverse=True)
            self._read[name] = tuple(found)
        return self._read[name]

    def providers(self, relation: Relation) -> list[IndexedPackage]:
        """The packages, by name, that provide what ``relation`` asks for."""
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
    """Whether one of the ``Provides`` of ``package`` satisfies ``relation`` (policy 7.5).

    A bound is met only by a provided name that carries a version.
    """
    return any(
        offer.name == relation.name
        and (not relation.operator or (offer.version != "" and relation.admits(offer.version)))
        for offer in package.provides
    )


def _paragraph(lines: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        if line[0] in " \t" and last:
            fields[last] += "\n" + line[1:]
            continue
        match = _FIELD.fullmatch(line)
        if not match or match.group(1).lower() in fields:
            raise _broken(f"{line[:120]!r} is no new field of a control paragraph")
        last = match.group(1).lower()
        fields[last] = match.group(2).rstrip(" \t\r")
    return fields


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text.strip())
    if not match:
        raise _broken(f"{text.strip()[:120]!r} is no relation to a package")
    name, qualifier, operator, version, architectures = match.groups()
    if version:
        version_key(version)
    return Relation(
        name, qualifier or "", operator or "", version or "", tuple((architectures or "").split())
    )


def _order(part: str) -> Order:
    pieces = [(a, b) for a, b in _PIECE.findall(part) if a or b]
    return (*((_weights(a), int(b or 0)) for a, b in pieces), ((0,), 0))


def _weights(text: str) -> tuple[int, ...]:
    """``~`` before the end, the end before letters, letters before the rest."""
    return (*(-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text), 0)


def _name(block: str) -> str:
    head, _, name = block.lstrip("\n").split("\n", 1)[0].partition(": ")
    return name.strip() if head == "Package" else _required(_only(block), "package")


def _offered(block: str) -> list[str]:
    start = block.find("\nProvides:")  # far quicker than a pattern over every paragraph
    match = _PROVIDES.match(block, start + 1) if start >= 0 else None
    offers = match.group(1).split(",") if match else []
    return [words[0] for offer in offers if (words := offer.split())]


def _package(block: str, *, security: bool) -> IndexedPackage:
    fields = _only(block)
    size = _required(fields, "size")
    digits = _required(fields, "sha256")
    if not re.fullmatch(r"\d{1,15}", size, re.ASCII) or not re.fullmatch("[0-9a-f]{64}", digits):
        raise _broken(f"the size or sha256 of {fields['package']!r} is none")
    broken = (*relations(fields.get("conflicts", "")), *relations(fields.get("breaks", "")))
    return IndexedPackage(
        name=_required(fields, "package"),
        version=_required(fields, "version"),
        architecture=_required(fields, "architecture"),
        depends=(
            *relations(fields.get("pre-depends", "")),
            *relations(fields.get("depends", "")),
        ),
        conflicts=tuple(group[0] for group in broken),
        provides=tuple(group[0] for group in relations(fields.get("provides", ""))),
        path=_required(fields, "filename"),
        sha256=Digest.from_hex(digits),
        size=int(size),
        security=security,
    )


def _only(block: str) -> dict[str, str]:
    return next(paragraphs(block), {})


def _required(fields: Paragraph, field: str) -> str:
    if not fields.get(field):
        raise _broken(f"a paragraph of {fields.get('package', 'a package')} has no {field}")
    return fields[field]


def _broken(message: str) -> InputError:
    return InputError(message, code=Code.CONTENT_MISMATCH)
