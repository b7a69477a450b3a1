"""Writes tar headers (POSIX.1-1988 ustar, POSIX.1-2001 pax).

Every header has owner 0 without names and the fixed time of all derived bytes. It equals the ustar
header of GNU tar, with a pax header before it only where a name or size does not fit.
"""

import struct
from typing import Literal

import msgspec
from deflate import adler32

from mpbuild.base import epoch

BLOCK = 512
END = bytes(2 * BLOCK)

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}
_NAME, _PREFIX = 100, 155
_LARGEST = 8**11 - 1
_EXTENDED_NAME = b"././@PaxHeader"
_ZERO, _TIME = b"%07o" % 0, b"%011o" % epoch.SECONDS

Kind = Literal["file", "directory", "symlink", "hardlink"]


class TarEntry(msgspec.Struct, frozen=True, gc=False):
    """A member of an archive.

    ``path`` and the ``target`` of a hard link are relative, without a trailing slash. ``mode`` has
    the permission bits; ``size`` is that of a file, in bytes.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    target: str = ""


def header(entry: TarEntry) -> bytes:
    """The header blocks of a member, a pax header included."""
    name = f"{entry.path}/" if entry.kind == "directory" else entry.path
    extended: dict[str, str] = {}
    prefix, rest = _split(name)
    if not rest:
        extended["path"] = name
        prefix, rest = b"", _shortened(name)
    if not entry.target.isascii() or len(entry.target) > _NAME:
        extended["linkpath"] = entry.target
    if entry.size > _LARGEST:
        extended["size"] = str(entry.size)
    size = 0 if "size" in extended else entry.size
    target = _shortened(entry.target)
    block = _block(_TYPES[entry.kind], rest, entry.mode, size, target=target, prefix=prefix)
    return _extended(extended) + block if extended else block


def padding(size: int) -> bytes:
    """The padding after a content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def _split(name: str) -> tuple[bytes, bytes]:
    """The ustar prefix and name of a path; both empty if it does not fit."""
    if not name.isascii():
        return b"", b""
    if len(name) <= _NAME:
        return b"", name.encode()
    # GNU tar and Go, too, cut at the last slash that leaves a short enough prefix and a name.
    cut = name.rfind("/", 1, min(_PREFIX + 1, len(name) - 1))
    if cut < 0 or len(name) - cut - 1 > _NAME:
        return b"", b""
    return name[:cut].encode(), name[cut + 1 :].encode()


def _shortened(name: str) -> bytes:
    """The value of a ustar field; only readers without pax use it beside a pax record."""
    return name.encode("ascii", "replace")[:_NAME]


def _block(
    kind: bytes, name: bytes, mode: int, size: int, *, target: bytes = b"", prefix: bytes = b""
) -> bytes:
    block = _HEADER.pack(
        name,
        b"%07o" % mode,
        _ZERO,
        _ZERO,
        b"%011o" % size,
        _TIME,
        b" " * 8,
        kind,
        target,
        b"ustar\x0000",
        b"",
        b"",
        _ZERO,
        _ZERO,
        prefix,
    )
    # The low half of Adler-32 is the sum of the bytes plus one; that of an ASCII block stays below
    # its modulus.
    checksum = (adler32(block) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (block[: _CHECKSUM.start], checksum, block[_CHECKSUM.stop :])


def _extended(records: dict[str, str]) -> bytes:
    """A pax header: a member that precedes the one it describes."""
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    return _block(b"x", _EXTENDED_NAME, 0o644, len(body)) + body + padding(len(body))


def _record(key: str, value: str) -> bytes:
    """A pax record, ``LENGTH KEY=VALUE`` and a newline; the length includes its own digits."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    return str(len(rest) + len(str(length))).encode() + rest
