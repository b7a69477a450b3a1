"""Unpacking: the files of a layer as a folder, written where nothing can lead outside."""

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
        """What to make."""


class Unpacker:
    """A visitor that writes files below ``root``, which it makes, inside of its ``with`` block.

    Whatever was checked before: what it writes stands in folders that it made itself, so no path
    leads through a link. Owner is whoever runs this, so no set-user-id bit is taken over; every
    time is the epoch. Raise UnsafeError at an entry that would need more.
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
        """After the last entry: directories get their modes, deepest first."""
        if kind is None:
            self._close()
            for path, mode in reversed(self._modes):
                path.chmod(mode)
                os.utime(path, _TIMES)
        elif self._file:
            self._file.close()

    def begin(self, node: HasEntry) -> None:
        """The next entry; the file before is complete."""
        self._close()
        entry = node.entry
        if posixpath.dirname(entry.path) not in self._folders:
            raise UnsafeError(f"{entry.path} has no folder before it")
        try:
            self._make(entry, self._root / entry.path)
        except FileExistsError as error:
            raise UnsafeError(f"{entry.path} stands twice") from error

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
                raise UnsafeError(f"{entry.path} is a link to {entry.target}, no file before it")
            os.link(self._root / entry.target, path, follow_symlinks=False)
            self._files.add(entry.path)
        else:
            self._file = path.open("xb")
            self._files.add(entry.path)
            os.fchmod(self._file.fileno(), entry.mode & 0o777)

    def write(self, data: Buffer, /) -> None:
        """Content of the file begun last."""
        assert self._file is not None, "only files have content"
        self._file.write(data)

    def _close(self) -> None:
        if self._file:
            self._file.flush()
            os.utime(self._file.fileno(), _TIMES)
            self._file.close()
            self._file = None
