"""Translates errors of the operating system into ours; imports little."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translates an OSError from inside into an EnvironmentFailureError."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> EnvironmentFailureError:
    """Returns our error for an OSError about ``path``."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return EnvironmentFailureError(
        f"{error.strerror or error}",
        where=str(error.filename or path),
        hint="free some space, or choose another store with --store" if full else "",
        code=Code.DISK_FULL if full else Code.STORE_UNUSABLE,
    )
