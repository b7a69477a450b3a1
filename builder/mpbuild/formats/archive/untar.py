"""Reading tar: strict, streaming, and only what layers and Debian packages hold.

Understood are POSIX ustar, pax (path, linkpath, size) and GNU's long names, which dpkg writes.
Refused is whatever else changes what is unpacked: devices, sparse files, extended attributes,
global headers, contents of links, and an archive that does not end with two blocks of zeros.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.stream import PIECE, ByteSource
from mpbuild.formats.archive.tar import BLOCK, Kind, TarEntry
from mpbuild.formats.archive.tree import safe_path
from mpbuild.formats.archive.unsafe import UnsafeError

_ZEROS = bytes(BLOCK)
_UNTOLD = 8**11 - 1  # what some write where a pax header has the size
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]+)=")
_DECIMAL = re.compile("[0-9]{1,19}")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
# What says nothing about a layer's content: times, owners, remarks.
_IGNORED = frozenset(
    (
        "atime",
        "comment",
        "ctime",
        "gid",
        "gname",
        "mtime",
        "uid",
        "uname",
        "LIBARCHIVE.creationtime",
    )
)
_KINDS: Mapping[bytes, Kind] = {
    b"0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"5": "directory",
}
_UNWANTED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}


class _Header(NamedTuple):
    flag: bytes
    name: str
    target: str
    mode: int
    size: int


def read(chunks: Iterable[Buffer]) -> Iterator[tuple[TarEntry, Iterator[memoryview]]]:
    """The members of a tar stream, each with its content in pieces.

    A content lasts until the next member is asked for, and need not be read. The root folder
    itself (``./``) is left out. Raise UnsafeError on anything this module does not understand.
    """
    source = ByteSource(chunks)
    while (entry := _next(source)) is not None:
        end = source.position + entry.size
        if entry.path:
            yield entry, source.span(entry.size)
        source.skip(end - source.position + -entry.size % BLOCK)


def _next(source: ByteSource) -> TarEntry | None:
    """The next member with what the extended headers before it say; None at a proper end."""
    given: dict[str, str] = {}
    while (block := source.exactly(BLOCK)) != _ZEROS:
        header = _header(block)
        if header.flag not in _EXTENSIONS:
            return _entry(header, given)
        records = _EXTENSIONS[header.flag](_extension(source, header.size))
        if records.keys() & given.keys():
            raise UnsafeError("two extended headers of one member say the same")
        given |= records
    if given:
        raise UnsafeError("an extended header has no member")
    _check_end(source)
    return None


def _check_end(source: ByteSource) -> None:
    if source.exactly(BLOCK) != _ZEROS:
        raise UnsafeError("a block of zeros stands between members")
    while piece := source.some(PIECE):
        if bytes(piece).strip(b"\0"):
            raise UnsafeError("bytes follow the end of the archive")


def _header(block: bytes) -> _Header:
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != checksum:
        raise UnsafeError("a header's checksum is wrong")
    magic = block[257:265]
    if magic not in (_POSIX, _GNU):
        raise UnsafeError("neither a POSIX nor a GNU tar header")
    # GNU keeps other things where POSIX has the prefix.
    prefix = _text(block[345:500]) if magic == _POSIX else ""
    name = _text(block[:100])
    return _Header(
        flag=block[156:157].replace(b"\0", b"0"),
        name=f"{prefix}/{name}" if prefix else name,
        target=_text(block[157:257]),
        mode=_number(block[100:108]) & 0o7777,
        size=_number(block[124:136]),
    )


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256, which sets the first bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if not match:
        raise UnsafeError(f"not a number in a header: {field!r}")
    return int(match[1], 8)


def _text(field: bytes) -> str:
    """Up to the first NUL."""
    return _decoded(field.partition(b"\0")[0])


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise UnsafeError(f"the name {text[:200]!r} is not UTF-8") from error


def _extension(source: ByteSource, size: int) -> bytes:
    if size > limits.TAR_EXTENSION_BYTES:
        raise UnsafeError(f"an extended header of {size} bytes")
    body = source.exactly(size)
    source.skip(-size % BLOCK)
    return body


def _extended(body: bytes) -> dict[str, str]:
    """The records of a pax header that count here (POSIX.1-2001, "pax Extended Header")."""
    records = dict(_records(body))
    unknown = records.keys() - _IGNORED - {"path", "linkpath", "size"}
    if unknown:
        raise UnsafeError(f"the extended header {min(unknown)[:200]!r} is not understood")
    return {key: value for key, value in records.items() if key not in _IGNORED}


def _records(body: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    seen: set[bytes] = set()
    while at < len(body):
        match = _RECORD.match(body, at)
        end = at + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(body) or body[end - 1 : end] != b"\n":
            raise UnsafeError("a malformed extended header")
        if match[2] in seen:
            raise UnsafeError(f"the extended header {match[2][:200]!r} stands twice")
        seen.add(match[2])
        at = end
        yield _decoded(match[2]), _decoded(body[match.end() : end - 1])


def _global(body: bytes) -> dict[str, str]:
    """Of a global header, only remarks are let pass."""
    if any(key != "comment" for key, _ in _records(body)):
        raise UnsafeError("a global header that changes members")
    return {}


def _long_name(body: bytes) -> dict[str, str]:
    return {"path": _text(body)}


def _long_target(body: bytes) -> dict[str, str]:
    return {"linkpath": _text(body)}


_EXTENSIONS: Mapping[bytes, Callable[[bytes], dict[str, str]]] = {
    b"x": _extended,
    b"g": _global,
    b"L": _long_name,
    b"K": _long_target,
}


def _entry(header: _Header, given: Mapping[str, str]) -> TarEntry:
    path = given.get("path", header.name)
    kind = _KINDS.get(header.flag)
    if kind is None:
        what = _UNWANTED.get(header.flag, f"of the unknown type {header.flag!r}")
        raise UnsafeError(f"{path[:200]!r} is {what}")
    if kind == "directory":
        path = path.removesuffix("/")
    path = "" if kind == "directory" and path in ("", ".") else safe_path(path)
    size = _size(given["size"]) if "size" in given else header.size
    if header.size not in (0, size, _UNTOLD):
        # Readers that know no pax would see other members than those that do.
        raise UnsafeError(f"{path[:200]!r} has {header.size} bytes and {size} in one header each")
    if kind != "file" and size:
        raise UnsafeError(f"{path} is no file and has {size} bytes")
    target = given.get("linkpath", header.target) if kind in ("hardlink", "symlink") else ""
    if kind == "hardlink":
        target = safe_path(target)
    return TarEntry(path, kind, header.mode, size, target)


def _size(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise UnsafeError(f"not a size: {text[:200]!r}")
    return int(text)
