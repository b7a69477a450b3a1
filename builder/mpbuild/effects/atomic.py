"""Writing a file so that a reader sees all of it or nothing; imports little."""

import os
from pathlib import Path


def write_new(scratch: Path, final: Path, data: bytes) -> None:
    """Write beside, sync, and rename into place; ``scratch`` is on the same filesystem.

    Not even a power cut leaves half a file under ``final``. Raises OSError.
    """
    import tempfile

    handle, name = tempfile.mkstemp(dir=scratch)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        Path(name).replace(final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
