"""Checks that the entries of an archive unpack to the same safe tree everywhere.

The rules are the same for tar, zip and every other archive.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping

from mpbuild.base import limits
from mpbuild.formats.archive.tar import TarEntry
from mpbuild.formats.archive.unsafe import UnsafeError

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
# A fast test that nearly all acceptable paths pass.
_ORDINARY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z)|\.wh\.)[ -.0-\[\]-~]{1,255}(?:/(?!\Z)|\Z))+")


def safe_path(path: str) -> str:
    """``path`` without a leading ``./``; raises UnsafeError for anything but a plain relative path.

    Refuses absolute paths, ``.`` and ``..``, empty names, whiteouts (OCI image layer specification,
    "Whiteouts"), backslashes, control characters, text without a UTF-8 form, and paths beyond
    base/limits.
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
    """Checks that the entries, in order, make the same tree everywhere; raises UnsafeError.

    Refuses duplicate paths and paths that differ only in case or Unicode form, paths below a file
    or link, hard links to anything but an earlier file, and symbolic links that leave the root.
    Refuses absolute links, too, unless ``absolute_links``; these start at the root.
    """
    tree: dict[str, TarEntry] = {}
    for entry in entries:
        if entry.path in tree:
            raise UnsafeError(f"duplicate path {entry.path}")
        if entry.kind == "hardlink" and not _is_file(tree.get(entry.target)):
            raise UnsafeError(
                f"{entry.path} is a hard link to {entry.target}, which is not an earlier file"
            )
        tree[entry.path] = entry
    _check_spelling(tree.keys() | _folders(tree))
    links = {path for path, entry in tree.items() if entry.kind == "symlink"}
    for path in links:
        problem = _link_problem(tree[path], links, absolute_links)
        if problem:
            raise UnsafeError(f"{path} is a link to {tree[path].target[:200]!r}, which {problem}")


def _problems(path: str) -> Iterator[str]:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        yield "is not UTF-8"
        return
    if len(encoded) > limits.PATH_BYTES:
        yield f"is longer than {limits.PATH_BYTES} bytes"
    if path.count("/") > limits.PATH_FOLDERS:
        yield f"has more than {limits.PATH_FOLDERS} folders"
    if _FORBIDDEN.search(path):
        yield "contains a control character or a backslash"
    if path.startswith("/"):
        yield "is absolute"
    for name in path.split("/"):
        if name in ("", ".", ".."):
            yield f"contains the name {name!r}"
        if name.startswith(".wh."):
            yield "contains a whiteout, which deletes files of other layers"
        if len(name.encode()) > limits.PATH_NAME_BYTES:
            yield f"contains a name longer than {limits.PATH_NAME_BYTES} bytes"


def _is_file(entry: TarEntry | None) -> bool:
    return entry is not None and entry.kind in ("file", "hardlink")


def _folders(tree: Mapping[str, TarEntry]) -> set[str]:
    """All parent paths; raises UnsafeError for one that is not a folder."""
    folders: set[str] = set()
    for path in tree:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            if parent in tree and tree[parent].kind != "directory":
                raise UnsafeError(f"{path} is below {parent}, which is not a directory")
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
            raise UnsafeError(f"{path} and {known} differ only in case or Unicode form")


def _folded(path: str) -> str:
    """A key that is equal for paths that a file system may not tell apart (Unicode 3.13, D145)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _link_problem(entry: TarEntry, links: Collection[str], absolute_links: bool) -> str:
    """The fault of a symbolic link's target, if any; the parent of another link is unknown."""
    target = entry.target
    if not target or len(target) > limits.PATH_BYTES or _FORBIDDEN.search(target):
        return "is not a path"
    if target.startswith("/") and not absolute_links:
        return "is absolute"
    at = [] if target.startswith("/") else entry.path.split("/")[:-1]
    through_link = False
    for name in target.split("/"):
        if name == ".." and (not at or through_link):
            return "leaves the root, or may"
        if name == "..":
            at.pop()
        elif name not in ("", "."):
            at.append(name)
            through_link = through_link or "/".join(at) in links
    return ""
