"""Files of the workspace: matching patterns, looking at them, hashing them.

Imports little, because a build that has nothing to do looks at every source through this.
"""

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

# Written beside sources by whoever imports them: never what a pattern means.
_NEVER = ("__pycache__",)


class FileStat(NamedTuple):
    """What the file system says of a file; equal before and after means equal bytes.

    Only if the file wasn't touched within the clock's grain of the first look: see ``settled``.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool

    def settled(self, at_ns: int) -> bool:
        """Whether the last change lies clearly before ``at_ns``, so that a later one shows."""
        return max(self.mtime_ns, self.ctime_ns) + 1_000_000_000 < at_ns


def match(root: Path, folder: str, pattern: str) -> list[str]:
    """The files that ``pattern``, written in ``folder``, names: paths from ``root``, sorted.

    ``*`` and ``?`` stay within a part, ``**`` is any number of parts. Names that begin with a
    dot match only where the pattern's part begins with one; ``__pycache__`` never does.
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


def look(root: Path, path: str) -> FileStat:
    """Stat a source file, refusing what is none: a folder, a device, a link out of ``root``."""
    full = root / path
    if not path.isprintable():
        raise InputError("has a name that is not plain text", where=ascii(path))
    try:
        seen = full.stat()
        if full.is_symlink() or full.parent.resolve() != full.parent:
            real = full.resolve(strict=True)
            if not real.is_relative_to(root.resolve()):
                raise InputError(
                    "is a link that leads out of the workspace",
                    where=path,
                    hint="copy the file into the workspace",
                )
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=path) from error
    if not stat.S_ISREG(seen.st_mode):
        raise InputError("is not a regular file", where=path)
    return FileStat(
        seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, bool(seen.st_mode & 0o100)
    )


def chunks(root: Path, path: str) -> Iterator[bytes]:
    """The bytes of a source file."""
    try:
        with (root / path).open("rb") as file:
            while data := file.read(1 << 20):
                yield data
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=path) from error


def digest(root: Path, path: str) -> Digest:
    """The digest of a source file."""
    return Digest.of_chunks(chunks(root, path))


def _fixed(pattern: str) -> str:
    """The folders of a pattern before its first wildcard."""
    parts = pattern.split("/")
    wild = next((i for i, part in enumerate(parts) if set(part) & set("*?")), len(parts) - 1)
    return "/".join(parts[:wild]) or "."


def _walk(base: Path, pattern: str) -> Iterator[str]:
    """Files below ``base``, relative to it, in folders that ``pattern`` can mean."""
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
    """A folder that isn't there matches nothing; one that can't be read might have."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise InputError(f"can't be read: {error.strerror}", where=str(error.filename)) from error


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression over paths from the pattern's folder."""
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
