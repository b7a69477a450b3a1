"""What the operating system says about files and folders of ours, as our errors; imports little."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Let an OSError from inside be an EnvironmentFailureError."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> EnvironmentFailureError:
    """What the operating system said about ``path``, as our error."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return EnvironmentFailureError(
        f"{error.strerror or error}",
        where=str(error.filename or path),
        hint="free some space, or choose another store with --store" if full else "",
        code=Code.DISK_FULL if full else Code.STORE_UNUSABLE,
    )
