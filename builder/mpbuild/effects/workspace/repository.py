"""Reads the state of the git repository that holds a workspace, without running git.

A repository may come from a stranger, and its configuration, attributes and hooks can name
programs that git runs even to print a status. This module reads references and objects only. It
trusts neither: the digests of commit and trees are checked, and only regular files are opened.
"""

import contextlib
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.effects.workspace.sources import is_match
from mpbuild.formats.evidence.record import RepositoryState

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore

_ID = re.compile(rb"[0-9a-f]{40}")
_REFERENCE = re.compile(rb"ref: (refs/[\x21-\x7e]+)")
_LINKS = 8
_COMMIT, _TREE, _BLOB = 1, 2, 3
_NAMES = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob"}
UNKNOWN = RepositoryState(None, dirty=True)


class ReadFile(NamedTuple):
    """A file that a build read: its mode, its size in bytes, and its bytes."""

    executable: bool
    size: int
    chunks: Callable[[], Iterable[Buffer]]


class _UnreadableError(Exception):
    """The repository is absent, damaged, or of a kind that is not supported."""


def repository_state(
    root: Path, files: Mapping[str, ReadFile], patterns: Mapping[str, list[str]]
) -> RepositoryState:
    """The checked-out commit, and whether it differs from what a build read.

    ``files`` are the files that the build read, by their paths from ``root``; ``patterns`` maps
    each expanded ``folder:pattern`` to its matches. Dirty means that the commit lacks a file, has
    other bytes or another mode for it, or has another file that matches a pattern. If there is no
    repository, or it can't be read, there is no commit, and the state is dirty.
    """
    try:
        top, metadata = _find(root.resolve())
        common = _common(metadata)
        commit = _head(metadata, common)
        prefix = root.resolve().relative_to(top).as_posix()
        folder = "" if prefix == "." else prefix + "/"
        with contextlib.closing(_open_store(common / "objects")) as store:
            objects = _Objects(store)
            found = _Tree(objects, _tree_of(objects, commit), folder)
            dirty = any(found.differs(path, file) for path, file in files.items()) or any(
                found.has_more(key, matches) for key, matches in patterns.items()
            )
    except (_UnreadableError, OSError, ValueError, RecursionError):
        return UNKNOWN
    return RepositoryState(commit, dirty)


class _Tree:
    """The files of a commit below a folder."""

    def __init__(self, objects: "_Objects", root: str, folder: str) -> None:
        self._objects = objects
        self._root = root
        self._folder = folder
        self._entries: dict[str, dict[str, tuple[int, str]]] = {}

    def differs(self, path: str, file: ReadFile, links: int = _LINKS) -> bool:
        """Whether the commit has another file at ``path``, or none."""
        full = posixpath.normpath(self._folder + path)
        entry = self._entry(full)
        if entry is None:
            return True
        mode, name = entry
        if stat.S_ISLNK(mode):
            target = posixpath.join(posixpath.dirname(path), self._link(name))
            return not links or self.differs(posixpath.normpath(target), file, links - 1)
        if not stat.S_ISREG(mode) or bool(mode & stat.S_IXUSR) != file.executable:
            return True
        return _blob_id(file) != name

    def has_more(self, key: str, matches: Iterable[str]) -> bool:
        """Whether the commit has a file that ``key`` (``folder:pattern``) matches, not listed."""
        folder, _, pattern = key.partition(":")
        known = set(matches)
        base = posixpath.normpath(posixpath.join(self._folder, folder))
        for path in self._walk("" if base == "." else base):
            inside = path.removeprefix(self._folder)
            if inside not in known and is_match(inside, folder, pattern):
                return True
        return False

    def _entry(self, full: str) -> tuple[int, str] | None:
        folder, name = posixpath.split(full)
        return self._list(folder).get(name)

    def _list(self, folder: str) -> dict[str, tuple[int, str]]:
        """The entries of a folder of the commit; none if it is no folder."""
        if folder not in self._entries:
            if not folder:
                tree: str | None = self._root
            else:
                entry = self._entry(folder)
                tree = entry[1] if entry and stat.S_ISDIR(entry[0]) else None
            self._entries[folder] = self._objects.tree(tree) if tree else {}
        return self._entries[folder]

    def _walk(self, folder: str) -> Iterator[str]:
        """Walks the files; small trees that contain each other can unfold to any number of them."""
        pending, seen = [folder], 0
        while pending:
            current = pending.pop()
            entries = self._list(current)
            seen += len(entries)
            if seen > limits.GIT_TREE_ENTRIES:
                raise _UnreadableError("too many files")
            for name, (mode, _) in entries.items():
                path = posixpath.join(current, name)
                if stat.S_ISDIR(mode):
                    pending.append(path)
                elif self._is_file(path):
                    yield path

    def _is_file(self, path: str, links: int = _LINKS) -> bool:
        """Whether there is a regular file at ``path``, perhaps behind links."""
        entry = self._entry(path)
        if entry is None or not links:
            return False
        if not stat.S_ISLNK(entry[0]):
            return stat.S_ISREG(entry[0])
        target = posixpath.join(posixpath.dirname(path), self._link(entry[1]))
        return self._is_file(posixpath.normpath(target), links - 1)

    def _link(self, name: str) -> str:
        return os.fsdecode(self._objects.read(name, _BLOB))


class _Objects:
    """The objects of a repository; each one is checked against its id."""

    def __init__(self, store: "DiskObjectStore") -> None:
        self._store = store
        self._trees: dict[str, dict[str, tuple[int, str]]] = {}

    def read(self, name: str, kind: int) -> bytes:
        """Reads an object; raises _UnreadableError if it is absent, of another kind or damaged."""
        from dulwich.objects import ObjectID

        try:
            found, data = self._store.get_raw(ObjectID(name.encode()))
        except Exception as error:
            raise _UnreadableError(name) from error
        header = b"%s %d\0" % (_NAMES[kind], len(data))
        if found != kind or _sha1(header, [data]) != name:
            raise _UnreadableError(name)
        return data

    def tree(self, name: str) -> dict[str, tuple[int, str]]:
        """The entries of a tree: mode and id by name."""
        if name not in self._trees:
            self._trees[name] = self._entries(name)
        return self._trees[name]

    def _entries(self, name: str) -> dict[str, tuple[int, str]]:
        entries, data, at = {}, self.read(name, _TREE), 0
        while at < len(data):
            space, end = data.index(b" ", at), data.index(b"\0", at)
            mode = int(data[at:space], 8)
            entries[os.fsdecode(data[space + 1 : end])] = (mode, data[end + 1 : end + 21].hex())
            at = end + 21
        return entries


def _open_store(folder: Path) -> "DiskObjectStore":
    from dulwich.object_store import DiskObjectStore

    _refuse_special(folder, set())
    return DiskObjectStore(str(folder), loose_object_size_limit=limits.GIT_OBJECT_BYTES)


def _tree_of(objects: _Objects, commit: str) -> str:
    first, _, _ = objects.read(commit, _COMMIT).partition(b"\n")
    name = first.removeprefix(b"tree ")
    if not _ID.fullmatch(name):
        raise _UnreadableError("the commit has no tree")
    return name.decode()


def _blob_id(file: ReadFile) -> str:
    return _sha1(b"blob %d\0" % file.size, file.chunks())


def _sha1(header: bytes, chunks: Iterable[Buffer]) -> str:
    hasher = hashlib.sha1(header, usedforsecurity=False)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


# ---- where things are


def _find(folder: Path) -> tuple[Path, Path]:
    """The top of the working tree and its metadata: the folder .git, or the one that it names.

    A folder that is itself laid out as a bare repository is not one.
    """
    for top in (folder, *folder.parents):
        path = top / ".git"
        if path.is_symlink():
            raise _UnreadableError("a link")
        if path.is_dir():
            return top, path
        if path.exists():
            text = _read(path)
            if not text.startswith(b"gitdir: "):
                raise _UnreadableError("no gitdir")
            return top, (top / os.fsdecode(text.removeprefix(b"gitdir: ").strip())).resolve()
    raise _UnreadableError("no repository")


def _common(metadata: Path) -> Path:
    """The metadata that all working trees of a repository share."""
    path = metadata / "commondir"
    return (metadata / os.fsdecode(_read(path).strip())).resolve() if path.exists() else metadata


def _head(metadata: Path, common: Path) -> str:
    """The id of the checked-out commit."""
    text = _read(metadata / "HEAD").strip()
    for _ in range(_LINKS):
        if _ID.fullmatch(text):
            return text.decode()
        match = _REFERENCE.fullmatch(text)
        if not match or ".." in match[1].decode():
            break
        path = common / match[1].decode()
        text = _read(path).strip() if path.exists() else _packed(common, match[1])
    raise _UnreadableError("HEAD")


def _packed(common: Path, name: bytes) -> bytes:
    for line in _read(common / "packed-refs").splitlines():
        if line[41:] == name:
            return line[:40]
    raise _UnreadableError("no such reference")


def _read(path: Path) -> bytes:
    """Reads a small regular file, and never waits for the writer of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limits.GIT_REFERENCES_BYTES:
            raise _UnreadableError(path.name)
        return file.read(limits.GIT_REFERENCES_BYTES)


def _refuse_special(objects: Path, seen: set[Path]) -> None:
    """Raises _UnreadableError if a pack, an index or a loose object is not a regular file.

    Covers the few folders of other repositories that ``info/alternates`` names, each once: lists
    that lead back would multiply.
    """
    objects = objects.resolve() if seen else objects
    if objects in seen or len(seen) == _LINKS:
        raise _UnreadableError("alternates")
    seen.add(objects)
    for folder in (objects, *objects.iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            raise _UnreadableError(folder.name)
        with os.scandir(folder) as entries:
            for entry in entries:
                is_plain = entry.is_file(follow_symlinks=False)
                if not is_plain and not (folder == objects and entry.is_dir(follow_symlinks=False)):
                    raise _UnreadableError(entry.name)
    listing = objects / "info/alternates"
    if listing.exists():
        for line in _read(listing).splitlines():
            _refuse_special(objects / os.fsdecode(line), seen)
