"""Relations between packages, such as Depends and Provides (Debian policy 4.6, chapter 7)."""

import re

import msgspec

from mpbuild.formats.debian.control import malformed
from mpbuild.formats.debian.version import version_key

_RELATION = re.compile(
    r"([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?"
    r"(?:\s*\(\s*(<<|<=|=|>=|>>)\s*([^\s()]+)\s*\))?"
    r"(?:\s*\[([^\[\]]+)\])?",
    re.ASCII,
)


class Relation(msgspec.Struct, frozen=True):
    """``name:qualifier (operator version) [architectures]``; absent parts are empty."""

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
        """Whether the relation holds on ``architecture``."""
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


def read_relations(text: str) -> tuple[Alternatives, ...]:
    """A relation field: groups, all of which must hold, each by one of its alternatives."""
    groups = [group for group in text.replace("\n", " ").split(",") if group.strip()]
    return tuple(tuple(_relation(part) for part in group.split("|")) for group in groups)


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text.strip())
    if not match:
        raise malformed(f"not a relation: {text.strip()[:120]!r}")
    name, qualifier, operator, version, architectures = match.groups()
    if version:
        version_key(version)
    return Relation(
        name, qualifier or "", operator or "", version or "", tuple((architectures or "").split())
    )
