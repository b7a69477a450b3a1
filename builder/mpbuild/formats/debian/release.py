"""The Release file of a suite (Debian repository format, "Release files")."""

import re

from mpbuild.base.digest import Digest
from mpbuild.formats.debian.control import Paragraph, malformed

_CHECKSUM = re.compile(r"([0-9a-f]{64})\s+(\d{1,15})\s+(\S+)", re.ASCII)


def listed_files(release: Paragraph) -> dict[str, tuple[Digest, int]]:
    """The files that a Release file lists: relative path to digest and size in bytes."""
    rows = [line for line in release.get("sha256", "").split("\n") if line.strip()]
    found = {}
    for row in rows:
        match = _CHECKSUM.fullmatch(row.strip())
        if not match:
            raise malformed(f"not a checksum line: {row[:120]!r}")
        found[match.group(3)] = Digest.from_hex(match.group(1)), int(match.group(2))
    return found
