"""Reads tar archives as streams, strictly, with the features of layers and Debian packages only.

Supports POSIX ustar, pax (path, linkpath, size) and GNU long names, which dpkg writes. Refuses
everything else that affects what is unpacked, such as devices, sparse files, extended attributes,
global headers and links with content, and an archive that does not end with two blocks of zeros.
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
_UNKNOWN_SIZE = 8**11 - 1  # some archivers write it if a pax header has the size
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]+)=")
_DECIMAL = re.compile("[0-9]{1,19}")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
# Records that don't affect the content of a layer: times, owners, comments.
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

    A content is valid until the next member, and need not be read. Skips the root folder (``./``).
    Raises UnsafeError for anything malformed or unsupported.
    """
    source = ByteSource(chunks)
    while (entry := _next(source)) is not None:
        end = source.position + entry.size
        if entry.path:
            yield entry, source.span(entry.size)
        source.skip(end - source.position + -entry.size % BLOCK)


def _next(source: ByteSource) -> TarEntry | None:
    """The next member, with its extended headers applied; None at a proper end."""
    given: dict[str, str] = {}
    while (block := source.exactly(BLOCK)) != _ZEROS:
        header = _header(block)
        if header.flag not in _EXTENSIONS:
            return _entry(header, given)
        records = _EXTENSIONS[header.flag](_extension(source, header.size))
        if records.keys() & given.keys():
            raise UnsafeError("duplicate records in the extended headers of a member")
        given |= records
    if given:
        raise UnsafeError("extended header without a member")
    _check_end(source)
    return None


def _check_end(source: ByteSource) -> None:
    if source.exactly(BLOCK) != _ZEROS:
        raise UnsafeError("block of zeros between members")
    while piece := source.some(PIECE):
        if bytes(piece).strip(b"\0"):
            raise UnsafeError("trailing bytes after the end of the archive")


def _header(block: bytes) -> _Header:
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != checksum:
        raise UnsafeError("wrong checksum in a header")
    magic = block[257:265]
    if magic not in (_POSIX, _GNU):
        raise UnsafeError("neither a POSIX nor a GNU tar header")
    # GNU headers use the prefix field for other things.
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
    """A number in octal digits, or in GNU's base 256, which sets the first bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if not match:
        raise UnsafeError(f"malformed number in a header: {field!r}")
    return int(match[1], 8)


def _text(field: bytes) -> str:
    """The text up to the first NUL."""
    return _decoded(field.partition(b"\0")[0])


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise UnsafeError(f"the name {text[:200]!r} is not UTF-8") from error


def _extension(source: ByteSource, size: int) -> bytes:
    if size > limits.TAR_EXTENSION_BYTES:
        raise UnsafeError(
            f"extended header of {size} bytes; at most {limits.TAR_EXTENSION_BYTES} are allowed"
        )
    body = source.exactly(size)
    source.skip(-size % BLOCK)
    return body


def _extended(body: bytes) -> dict[str, str]:
    """The relevant records of a pax header (POSIX.1-2001, "pax Extended Header")."""
    records = dict(_records(body))
    unknown = records.keys() - _IGNORED - {"path", "linkpath", "size"}
    if unknown:
        raise UnsafeError(f"unknown record {min(unknown)[:200]!r} in an extended header")
    return {key: value for key, value in records.items() if key not in _IGNORED}


def _records(body: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    seen: set[bytes] = set()
    while at < len(body):
        match = _RECORD.match(body, at)
        end = at + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(body) or body[end - 1 : end] != b"\n":
            raise UnsafeError("malformed extended header")
        if match[2] in seen:
            raise UnsafeError(f"duplicate record {match[2][:200]!r} in an extended header")
        seen.add(match[2])
        at = end
        yield _decoded(match[2]), _decoded(body[match.end() : end - 1])


def _global(body: bytes) -> dict[str, str]:
    """Refuses global headers with anything but comments."""
    if any(key != "comment" for key, _ in _records(body)):
        raise UnsafeError("global header that affects members")
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
        what = _UNWANTED.get(header.flag, f"an entry of unknown type {header.flag!r}")
        raise UnsafeError(f"{path[:200]!r} is {what}")
    if kind == "directory":
        path = path.removesuffix("/")
    path = "" if kind == "directory" and path in ("", ".") else safe_path(path)
    size = _size(given["size"]) if "size" in given else header.size
    if header.size not in (0, size, _UNKNOWN_SIZE):
        # Readers with and without pax would see different members.
        raise UnsafeError(
            f"{path[:200]!r} has {header.size} bytes in one header and {size} in another"
        )
    if kind != "file" and size:
        raise UnsafeError(f"{path} is not a file, but has {size} bytes")
    target = given.get("linkpath", header.target) if kind in ("hardlink", "symlink") else ""
    if kind == "hardlink":
        target = safe_path(target)
    return TarEntry(path, kind, header.mode, size, target)


def _size(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise UnsafeError(f"malformed size: {text[:200]!r}")
    return int(text)
