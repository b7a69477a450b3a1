"""Folders of files by digest: lists untrusted ones, writes new ones all or nothing."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import InputError
from mpbuild.effects.files.disk import disk_error

_CHUNK = 1 << 20


class FolderEntry(msgspec.Struct, frozen=True):
    """An entry of a folder: a file with its digest, a link with its target, or something else."""

    digest: Digest | None = None
    size: int = 0
    executable: bool = False
    target: str | None = None


def listing(folder: Path, skip: str = "") -> dict[str, FolderEntry]:
    """Lists all files in ``folder`` by relative path, except the entry ``skip``.

    Does not follow links or open pipes and devices. Raises InputError if it cannot be read.
    """
    found: dict[str, FolderEntry] = {}
    try:
        for path in _walk(folder, skip):
            if len(found) >= limits.FOLDER_FILES:
                raise InputError(
                    f"the folder has more than {limits.FOLDER_FILES} files", where=str(folder)
                )
            found[os.fsdecode(os.path.relpath(path, folder))] = _look(path)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            where=str(error.filename or folder),
            code=Code.CONTENT_MISSING,
        ) from error
    return found


def _walk(folder: Path, skip: str) -> Iterator[str]:
    for root, folders, names in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = sorted(n for n in folders if n not in links)
        if root == str(folder):
            folders[:] = [name for name in folders if name != skip]
        for name in sorted([*names, *links]):
            yield f"{root}/{name}"


def _raise(error: OSError) -> None:
    raise error


def _look(path: str) -> FolderEntry:
    seen = os.lstat(path)
    if stat.S_ISLNK(seen.st_mode):
        return FolderEntry(target=str(Path(path).readlink()))
    if not stat.S_ISREG(seen.st_mode):
        return FolderEntry()
    hasher = Hasher()
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.write(chunk)
    return FolderEntry(hasher.digest, hasher.size, bool(seen.st_mode & 0o100))


class NewFolder:
    """An incomplete folder; see ``new_folder``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, path: str, chunks: Iterable[Buffer], *, executable: bool = False) -> None:
        """Writes a file; ``chunks`` must check themselves at their end."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)

    def link(self, path: str, target: str) -> None:
        """Writes a symbolic link."""
        (self.path / path).symlink_to(target)


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[NewFolder]:
    """Makes a folder that appears at ``final`` once the block succeeds.

    Raises InputError if ``final`` exists and is not an empty folder.
    """
    try:
        if final.is_symlink() or (final.exists() and not final.is_dir()) or _holds(final):
            raise InputError(
                "exists and is not an empty folder",
                where=str(final),
                hint="name a new folder",
                code=Code.USAGE,
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
        try:
            made = NewFolder(scratch)
            yield made
            scratch.chmod(0o755)
            scratch.rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise disk_error(error, final) from error


def _holds(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
