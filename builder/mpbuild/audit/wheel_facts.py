"""What a wheel is to the audit: everything that a check asks of it, and none of its bytes.

Facts follow from the wheel's bytes and FORMAT alone, so they can be kept by the wheel's digest.
"""

import msgspec

from mpbuild.base import canonical
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.derive.elf_needs import ElfFile

FORMAT = 1


class MemberFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the archive says of one of its files: bytes of the content, CRC-32 of it."""

    size: int
    crc: int


class ForeignImport(msgspec.Struct, frozen=True, array_like=True):
    """A module at the top that is another wheel's, and a file of this wheel that imports it.

    ``typing`` where it does so for type checkers only, so that importing the file wouldn't fail.
    """

    top: str
    by: str
    typing: bool = False


class WheelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wheel; names of files are those in the archive.

    ``whole`` where all of it was at hand; else ``unread`` names the shared objects, with the bytes
    they take in the archive, and ``unparsed`` counts the modules that were not looked into.
    ``tags`` are the Tag lines of WHEEL as they stand, ``requires`` the Requires-Dist lines of
    METADATA, ``name`` and ``version`` what it says there. ``imports`` are known where ``requires``
    is empty.
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
    """What facts of this ``wheel`` are kept under.

    Those that come of parts of it, which nobody could check against the digest, never stand for
    those of the whole.
    """
    return canonical.digest({"facts": FORMAT, "wheel": wheel, "whole": whole})


def encode(facts: WheelFacts) -> bytes:
    """The canonical JSON of ``facts``."""
    return canonical.encode(plain(facts))


def read(data: bytes) -> WheelFacts:
    """The inverse; raise InputError (content-mismatch) where ``data`` is something else."""
    return typed(canonical.decode(data), WheelFacts)
