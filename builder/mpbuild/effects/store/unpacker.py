"""Unpacks the files of a layer to a folder, and never writes outside of it."""

import os
import posixpath
from pathlib import Path
from typing import IO, Protocol, Self

from mpbuild.base import epoch
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.tar import TarEntry
from mpbuild.formats.archive.unsafe import UnsafeError

_TIMES = (epoch.SECONDS, epoch.SECONDS)


class HasEntry(Protocol):
    """Anything with a tar entry."""

    @property
    def entry(self) -> TarEntry:
        """The entry to write."""


class Unpacker:
    """A visitor that writes files below ``root``, which it makes, inside its ``with`` block.

    It only writes to folders that it made itself, so no path leads through a link, whatever was
    checked before. Files belong to the current user, so set-user-id bits are dropped; every time is
    the epoch. Raises UnsafeError for an entry that violates this.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._root = root
        self._file: IO[bytes] | None = None
        self._modes: list[tuple[Path, int]] = [(root, 0o755)]
        self._folders = {""}
        self._files: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Sets the modes of directories, deepest first, after the last entry."""
        if kind is None:
            self._close()
            for path, mode in reversed(self._modes):
                path.chmod(mode)
                os.utime(path, _TIMES)
        elif self._file:
            self._file.close()

    def begin(self, node: HasEntry) -> None:
        """Starts the next entry; the previous file is complete."""
        self._close()
        entry = node.entry
        if posixpath.dirname(entry.path) not in self._folders:
            raise UnsafeError(f"no folder before {entry.path}")
        try:
            self._make(entry, self._root / entry.path)
        except FileExistsError as error:
            raise UnsafeError(f"duplicate entry {entry.path}") from error

    def _make(self, entry: TarEntry, path: Path) -> None:
        if entry.kind == "directory":
            if entry.path not in self._folders:
                path.mkdir(mode=0o755)
                self._folders.add(entry.path)
            self._modes.append((path, entry.mode & 0o1777))
        elif entry.kind == "symlink":
            path.symlink_to(entry.target)
            os.utime(path, _TIMES, follow_symlinks=False)
        elif entry.kind == "hardlink":
            if entry.target not in self._files:
                raise UnsafeError(
                    f"{entry.path} is a link to {entry.target}, which is not an earlier file"
                )
            os.link(self._root / entry.target, path, follow_symlinks=False)
            self._files.add(entry.path)
        else:
            self._file = path.open("xb")
            self._files.add(entry.path)
            os.fchmod(self._file.fileno(), entry.mode & 0o777)

    def write(self, data: Buffer, /) -> None:
        """Takes content of the current file."""
        assert self._file is not None, "only files have content"
        self._file.write(data)

    def _close(self) -> None:
        if self._file:
            self._file.flush()
            os.utime(self._file.fileno(), _TIMES)
            self._file.close()
            self._file = None
