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
    """One member: ``path`` and a hard link's ``target`` are relative, without a slash at the end.

    ``size`` is a file's, in bytes; ``mode`` holds the permission bits.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    target: str = ""


def header(entry: TarEntry) -> bytes:
    """The blocks in front of the content."""
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
    """What fills the last block of a content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def _split(name: str) -> tuple[bytes, bytes]:
    """Prefix and name as ustar holds them, two empty ones where it can't."""
    if not name.isascii():
        return b"", b""
    if len(name) <= _NAME:
        return b"", name.encode()
    # The last slash that leaves a prefix short enough and a name, as GNU tar and Go choose it.
    cut = name.rfind("/", 1, min(_PREFIX + 1, len(name) - 1))
    if cut < 0 or len(name) - cut - 1 > _NAME:
        return b"", b""
    return name[:cut].encode(), name[cut + 1 :].encode()


def _shortened(name: str) -> bytes:
    """What stands in a ustar field; of a pax member it is only for readers that know no pax."""
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
    # The low half of Adler-32 is one more than the sum of the bytes: ASCII never reaches its
    # modulus here.
    checksum = (adler32(block) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (block[: _CHECKSUM.start], checksum, block[_CHECKSUM.stop :])


def _extended(records: dict[str, str]) -> bytes:
    """A pax header: a member of its own in front of the one it speaks of."""
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    return _block(b"x", _EXTENDED_NAME, 0o644, len(body)) + body + padding(len(body))


def _record(key: str, value: str) -> bytes:
    """``LENGTH KEY=VALUE`` and a newline; the length counts its own digits."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    return str(len(rest) + len(str(length))).encode() + rest
