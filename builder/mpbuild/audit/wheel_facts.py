"""The facts of a wheel that the audit's checks need.

They depend only on the wheel's bytes and FORMAT, so they are cached by the wheel's digest.
"""

import msgspec

from mpbuild.base import canonical
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.derive.elf_needs import ElfFile

FORMAT = 1


class MemberFacts(msgspec.Struct, frozen=True, array_like=True):
    """A file in the archive's directory: its size in bytes and its CRC-32."""

    size: int
    crc: int


class ForeignImport(msgspec.Struct, frozen=True, array_like=True):
    """A top-level module of another wheel, and a file that imports it.

    ``typing`` marks imports for type checkers only, which do not run.
    """

    top: str
    by: str
    typing: bool = False


class WheelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The facts of a wheel; file names are those in the archive.

    ``whole`` is whether the whole wheel was available. Otherwise ``unread`` has the shared
    objects that were not read, with their sizes in the archive, and ``unparsed`` the number of
    modules that were not parsed. ``tags`` are the Tag lines of WHEEL; ``requires``, ``name`` and
    ``version`` are from METADATA. ``imports`` are only collected if ``requires`` is empty.
    """

    whole: bool
    name: str
    version: str
    dist_info: str
    files: dict[str, MemberFacts]
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    requires_python: str = ""
    scripts: tuple[str, ...] = ()
    elf: dict[str, ElfFile] = {}
    unread: dict[str, int] = {}
    imports: tuple[ForeignImport, ...] = ()
    unparsed: int = 0


def key(wheel: Digest, *, whole: bool) -> Digest:
    """Returns the cache key of a wheel's facts.

    Facts from parts, which cannot be checked against the digest, have another key than those of the
    whole wheel.
    """
    return canonical.digest({"facts": FORMAT, "wheel": wheel, "whole": whole})


def encode(facts: WheelFacts) -> bytes:
    """Encodes facts as canonical JSON."""
    return canonical.encode(plain(facts))


def read(data: bytes) -> WheelFacts:
    """Decodes facts; raises InputError (content-mismatch)."""
    return typed(canonical.decode(data), WheelFacts)
