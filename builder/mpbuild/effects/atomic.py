"""Writing a file so that a reader sees all of it or nothing; imports little."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpbuild.base.digest import Buffer

_NEW = ".new-"


def write_new(scratch: Path, final: Path, data: bytes) -> None:
    """Write beside, sync, and rename into place; ``scratch`` is on the same filesystem.

    Not even a power cut leaves half a file under ``final``. Raises OSError.
    """
    stream_new(scratch, final, [data], mode=0o444)


def stream_new(scratch: Path, final: Path, chunks: "Iterable[Buffer]", *, mode: int) -> None:
    """The same for what comes in pieces. Raises OSError, and whatever ``chunks`` raise."""
    import tempfile

    handle, name = tempfile.mkstemp(dir=scratch, prefix=_NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
