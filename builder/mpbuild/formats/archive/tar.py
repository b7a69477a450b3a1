"""Trees of files, and the tar headers that carry them (POSIX.1-1988 ustar, POSIX.1-2001 pax).

Written are owner 0 without names, the one time of every made byte and, only where a name or size
does not fit, a pax header. Where it fits, the header is the one that GNU tar writes as ustar.
What a tree may hold is the same whatever archive brings it: see ``safe_path``, ``check_tree``.
"""

import re
import struct
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from deflate import adler32

from mpbuild.base import epoch, limits
from mpbuild.formats.archive.unsafe import UnsafeError

BLOCK = 512
END = bytes(2 * BLOCK)

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}
_NAME, _PREFIX = 100, 155
_LARGEST = 8**11 - 1
_EXTENDED_NAME = b"././@PaxHeader"
_ZERO, _TIME = b"%07o" % 0, b"%011o" % epoch.SECONDS

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
# Paths with nothing to refuse, found at once: nearly all are such.
_ORDINARY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z)|\.wh\.)[ -.0-\[\]-~]{1,255}(?:/(?!\Z)|\Z))+")


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


def safe_path(path: str) -> str:
    """``path`` without a leading ``./``; raise UnsafeError where it is no plain relative path.

    Refused are absolute paths, ``.`` and ``..``, empty names, whiteouts (OCI image layer
    specification, "Whiteouts"), backslashes, control characters, what has no UTF-8, names over
    255 bytes and paths over 4096.
    """
    relative = path
    while relative.startswith("./"):
        relative = relative[2:]
    ordinary = (
        len(relative) <= limits.PATH_BYTES
        and relative.count("/") <= limits.PATH_FOLDERS
        and _ORDINARY.fullmatch(relative)
    )
    problem = "" if ordinary else next(_problems(relative), "")
    if problem:
        raise UnsafeError(f"the path {path[:200]!r} {problem}")
    return relative


def check_tree(entries: Iterable[TarEntry], *, absolute_links: bool = False) -> None:
    """Raise UnsafeError where the entries, in order, don't make the same tree everywhere.

    Refused are a path that stands twice or differs from another in case or Unicode form only, a
    path under a file or link, a hard link to anything but an earlier file, a symbolic link that
    climbs above the root, and an absolute one unless ``absolute_links``, which start at the root.
    """
    tree: dict[str, TarEntry] = {}
    for entry in entries:
        if entry.path in tree:
            raise UnsafeError(f"{entry.path} stands twice")
        if entry.kind == "hardlink" and not _is_file(tree.get(entry.target)):
            raise UnsafeError(f"{entry.path} is a hard link to {entry.target}, no file before it")
        tree[entry.path] = entry
    _check_spelling(tree.keys() | _folders(tree))
    links = {path for path, entry in tree.items() if entry.kind == "symlink"}
    for path in links:
        problem = _link_problem(tree[path], links, absolute_links)
        if problem:
            raise UnsafeError(f"{path} is a link to {tree[path].target[:200]!r}, which {problem}")


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


def _problems(path: str) -> Iterator[str]:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        yield "is not UTF-8"
        return
    if len(encoded) > limits.PATH_BYTES:
        yield f"is longer than {limits.PATH_BYTES} bytes"
    if path.count("/") > limits.PATH_FOLDERS:
        yield f"leads through more than {limits.PATH_FOLDERS} folders"
    if _FORBIDDEN.search(path):
        yield "holds a control character or a backslash"
    if path.startswith("/"):
        yield "is absolute"
    for name in path.split("/"):
        if name in ("", ".", ".."):
            yield f"holds the name {name!r}"
        if name.startswith(".wh."):
            yield "holds a whiteout: in a layer it deletes files of other layers"
        if len(name.encode()) > limits.PATH_NAME_BYTES:
            yield f"holds a name longer than {limits.PATH_NAME_BYTES} bytes"


def _is_file(entry: TarEntry | None) -> bool:
    return entry is not None and entry.kind in ("file", "hardlink")


def _folders(tree: Mapping[str, TarEntry]) -> set[str]:
    """Every path above another, all of them folders."""
    folders: set[str] = set()
    for path in tree:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            if parent in tree and tree[parent].kind != "directory":
                raise UnsafeError(f"{path} lies under {parent}, which is no directory")
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders


def _check_spelling(paths: Collection[str]) -> None:
    if len(set(map(_folded, paths))) == len(paths):
        return
    spelled: dict[str, str] = {}
    for path in sorted(paths):
        known = spelled.setdefault(_folded(path), path)
        if known != path:
            raise UnsafeError(f"{path} and {known} differ in spelling only")


def _folded(path: str) -> str:
    """Equal for what a file system may take for equal (Unicode, section 3.13, D145)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _link_problem(entry: TarEntry, links: Collection[str], absolute_links: bool) -> str:
    """Follow a symbolic link's target by name; one that climbs out of another link is opaque."""
    target = entry.target
    if not target or len(target) > limits.PATH_BYTES or _FORBIDDEN.search(target):
        return "is no path"
    if target.startswith("/") and not absolute_links:
        return "is absolute"
    at = [] if target.startswith("/") else entry.path.split("/")[:-1]
    through_link = False
    for name in target.split("/"):
        if name == ".." and (not at or through_link):
            return "climbs above the root, or may"
        if name == "..":
            at.pop()
        elif name not in ("", "."):
            at.append(name)
            through_link = through_link or "/".join(at) in links
    return ""
