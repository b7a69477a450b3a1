"""Writes files atomically: readers see all of a file or nothing; imports little."""

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpbuild.base.digest import Buffer

_NEW = ".new-"
_LONGEST_S = 3600


def write_new(scratch: Path, final: Path, data: bytes) -> None:
    """Writes to a temporary file, syncs and renames it; ``scratch`` is on the same file system.

    Not even a power failure leaves a partial file at ``final``. Raises OSError.
    """
    stream_new(scratch, final, [data], mode=0o444)


def stream_new(
    scratch: Path,
    final: Path,
    chunks: "Iterable[Buffer]",
    *,
    mode: int,
    owner: tuple[int, int] | None = None,
) -> None:
    """Does the same for chunks; ``owner`` is a user and a group, by default those of the process.

    Raises OSError, and the errors of ``chunks``.
    """
    import tempfile

    handle, name = tempfile.mkstemp(dir=scratch, prefix=_NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            if owner is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def tidy(folder: Path) -> None:
    """Removes temporary files of killed processes from ``folder``, once they are old."""
    for path in folder.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _LONGEST_S:
                path.unlink()


class ChangedError(Exception):
    """A file has changed since it was read."""


def is_writable(path: Path) -> bool:
    """Whether ``replace`` may change ``path``; read-only modes apply to root as well."""
    real = path.resolve()
    allowed = os.access(real, os.W_OK) and os.access(real.parent, os.W_OK)
    return allowed and bool(real.stat().st_mode & 0o222)


def replace(path: Path, old: bytes, new: bytes) -> None:
    """Replaces the content of a user's file; follows links, keeps mode and owner.

    Raises OSError, and ChangedError, without a change, if the content is no longer ``old``.
    """
    real = path.resolve(strict=True)
    looks = real.stat()

    def unless_changed() -> Iterator[bytes]:
        yield new
        if real.read_bytes() != old:
            raise ChangedError(path)

    owner = (looks.st_uid, looks.st_gid)
    mode = stat.S_IMODE(looks.st_mode)
    stream_new(real.parent, real, unless_changed(), mode=mode, owner=owner)
