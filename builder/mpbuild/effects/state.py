"""What stays with the user: records of builds, in a folder nobody else can write.

``$XDG_STATE_HOME/mpbuild`` (XDG base directory specification), 0700. A record found in a shared
store proves nothing; one found here was written by this user's own builds.
"""

import os
from pathlib import Path

from mpbuild.base.digest import Digest
from mpbuild.effects.store import disk_error


def folder() -> Path:
    """The state folder, made if need be."""
    base = os.environ.get("XDG_STATE_HOME", "")
    path = (Path(base) if base else Path.home() / ".local" / "state") / "mpbuild"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def keep_record(data: bytes) -> Path:
    """Write a record under its digest; the path it has now."""
    records = folder() / "records"
    path = records / f"{Digest.of(data).hex}.json"
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        records.mkdir(exist_ok=True, mode=0o700)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    return path
