"""Source files of a workspace: matches patterns, stats files, reads them.

Imports little: a build with nothing to do stats every source through this module.
"""

import contextlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

CHUNK = 1 << 20

# Python writes bytecode beside the sources that it imports; no pattern matches it.
_NEVER = ("__pycache__",)


class FileStat(NamedTuple):
    """The stat of a file, as far as it shows changes: equal stats mean equal bytes.

    A file that was touched within the clock's grain of the first look is an exception: see
    ``settled``.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool

    @classmethod
    def of(cls, found: os.stat_result) -> "FileStat":
        """Takes these fields from a stat result."""
        executable = bool(found.st_mode & stat.S_IXUSR)
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, executable)

    def settled(self, at_ns: int) -> bool:
        """Whether the last change is clearly before ``at_ns``, so that any change since shows."""
        return max(self.mtime_ns, self.ctime_ns) + 1_000_000_000 < at_ns


def match(root: Path, folder: str, pattern: str) -> list[str]:
    """Matches ``pattern``, relative to ``folder``; returns sorted paths relative to ``root``.

    ``*`` and ``?`` match within a part, ``**`` matches any number of parts. Names that begin with
    a dot match only a part that begins with one; ``__pycache__`` never matches.
    """
    if not set(pattern) & set("*?"):
        path = posixpath.normpath(posixpath.join(folder, pattern))
        return [path] if (root / path).is_file() else []
    base = posixpath.normpath(posixpath.join(folder, _fixed(pattern)))
    relative = posixpath.relpath(base, folder or ".")
    prefix = "" if relative == "." else relative + "/"
    found = [
        posixpath.normpath(posixpath.join(base, name))
        for name in _walk(root / base, pattern)
        if _expression(pattern).fullmatch(prefix + name)
    ]
    return sorted(found, key=os.fsencode)


def is_match(path: str, folder: str, pattern: str) -> bool:
    """Whether ``match`` would return ``path`` if it were a file."""
    full = posixpath.normpath(posixpath.join(folder, pattern))
    if not set(pattern) & set("*?"):
        return path == full
    relative = posixpath.relpath(path, folder or ".")
    parts = set(path.split("/"))
    return not parts & set(_NEVER) and bool(_expression(pattern).fullmatch(relative))


def look(root: Path, path: str, plain: set[str] | None = None) -> FileStat:
    """Stats a source file.

    Refuses folders, devices, links that lead out of ``root``, and unprintable names. ``plain``
    remembers folders that are not behind a link, for callers that look at many files.
    """
    full = os.path.join(root, path)  # noqa: PTH118 - a Path for each of many files is slow
    if not path.isprintable():
        raise InputError("the name has unprintable characters", where=ascii(path))
    try:
        found = os.lstat(full)
        if stat.S_ISLNK(found.st_mode) or not _is_plain(posixpath.dirname(full), plain):
            found = os.stat(full)  # noqa: PTH116
            real = Path(full).resolve(strict=True)
            if not real.is_relative_to(root.resolve()):
                raise InputError(
                    "is a link that leads out of the workspace",
                    where=path,
                    hint="copy the file into the workspace",
                )
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=path) from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError("is not a regular file", where=path)
    return FileStat.of(found)


def _is_plain(folder: str, plain: set[str] | None) -> bool:
    """Whether no part of a folder's path is a link."""
    if plain is not None and folder in plain:
        return True
    if posixpath.realpath(folder) != folder:
        return False
    if plain is not None:
        plain.add(folder)
    return True


@contextlib.contextmanager
def reading(
    root: Path, path: str, plain: set[str] | None = None
) -> Iterator[tuple[FileIO, FileStat]]:
    """Opens a source file; raises InputError where it changes while it is open."""
    before = look(root, path, plain)
    with open_unblocked(root / path, path) as file:
        refuse_change(file, before, path)
        yield file, before
        refuse_change(file, before, path)


def open_unblocked(full: Path, where: str) -> FileIO:
    """Opens a file for reading without waiting for the writer of a pipe."""
    try:
        descriptor = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return FileIO(descriptor)
        except OSError:  # a folder
            os.close(descriptor)
            raise
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=where) from error


def refuse_change(file: FileIO, before: FileStat, where: str) -> None:
    """Raises InputError where the stat of the open file is not ``before``."""
    if FileStat.of(os.fstat(file.fileno())) != before:
        raise changed(where)


def changed(path: str) -> InputError:
    """The error for a file that changed between two looks."""
    return InputError("changed while it was read", where=path, hint="run the command again")


def chunks(file: FileIO, where: str) -> Iterator[bytes]:
    """The rest of an open file, in pieces of at most 1 MiB."""
    try:
        while data := file.read(CHUNK):
            yield data
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=where) from error


def digest(root: Path, path: str) -> Digest:
    """The digest of a source file."""
    with reading(root, path) as (file, _):
        return Digest.of_chunks(chunks(file, path))


def _fixed(pattern: str) -> str:
    """The folders of a pattern before its first wildcard."""
    parts = pattern.split("/")
    wild = next((i for i, part in enumerate(parts) if set(part) & set("*?")), len(parts) - 1)
    return "/".join(parts[:wild]) or "."


def _walk(base: Path, pattern: str) -> Iterator[str]:
    """Walks the files below ``base``, in those folders only that ``pattern`` can match."""
    fixed = _fixed(pattern)
    parts = pattern.split("/")[0 if fixed == "." else fixed.count("/") + 1 :]
    deepest = None if "**" in parts else len(parts) - 1
    hidden = any(part.startswith(".") for part in parts)
    for folder, names, files in os.walk(base, onerror=_unreadable):
        inner = posixpath.relpath(folder, base)
        at = "" if inner == "." else f"{inner}/"
        names[:] = (
            [name for name in names if name not in _NEVER and (hidden or name[0] != ".")]
            if deepest is None or at.count("/") < deepest
            else []
        )
        yield from (at + name for name in files)


def _unreadable(error: OSError) -> None:
    """Ignores a missing folder; one that can't be read is an error, as it might have matches."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise InputError(f"can't be read: {error.strerror}", where=str(error.filename)) from error


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression for paths relative to the pattern's folder."""
    text = ""
    parts = posixpath.normpath(pattern).split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            text += r"(?:[^./][^/]*/)*" + (r"[^./][^/]*" if last else "")
            continue
        if part.startswith(("*", "?")):
            text += r"(?!\.)"
        text += "".join({"*": "[^/]*", "?": "[^/]"}.get(c, re.escape(c)) for c in part)
        text += "" if last else "/"
    return re.compile(text)
