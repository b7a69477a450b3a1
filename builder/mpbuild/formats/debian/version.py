"""The order of Debian package versions (deb-version(7))."""

import re
from functools import cache

from mpbuild.formats.debian.control import malformed

_VERSION = re.compile(
    r"(?:(\d+):)?(?=[A-Za-z0-9])((?(1)[A-Za-z0-9.+~:-]|[A-Za-z0-9.+~-])+?(?<!-))(?:-([A-Za-z0-9.+~]+))?",
    re.ASCII,
)
_PIECE = re.compile(r"(\D*)(\d*)")

PartKey = tuple[tuple[tuple[int, ...], int], ...]
VersionKey = tuple[int, PartKey, PartKey]


@cache
def version_key(version: str) -> VersionKey:
    """A sort key: epoch, upstream version, revision; raises InputError for a malformed version."""
    match = _VERSION.fullmatch(version)
    if not match:
        raise malformed(f"not a Debian version: {version[:120]!r}")
    epoch, upstream, revision = match.groups()
    return int(epoch or 0), _part_key(upstream), _part_key(revision or "0")


def _part_key(part: str) -> PartKey:
    """Alternates between text, compared by character, and numbers."""
    pieces = [(text, digits) for text, digits in _PIECE.findall(part) if text or digits]
    return (*((_weights(text), int(digits or 0)) for text, digits in pieces), ((0,), 0))


def _weights(text: str) -> tuple[int, ...]:
    """``~`` sorts before the end, the end before letters, letters before everything else."""
    return (*(-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text), 0)
