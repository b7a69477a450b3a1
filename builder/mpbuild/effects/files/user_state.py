"""The user's state folder: records of builds and of checks, which no other user can write.

It is ``$XDG_STATE_HOME/mpbuild`` (XDG base directory specification), 0700. Unlike a record in a
shared store, one in this folder was written by this user's own builds. Imports little, because
checks that have nothing to do read it.
"""

import os
from pathlib import Path

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.atomic import write_new
from mpbuild.effects.files.disk import disk_error, disk_errors


def folder() -> Path:
    """Returns the state folder; creates it if necessary."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        # The specification requires that relative paths are ignored.
        path = Path(base if base.startswith("/") else "~/.local/state").expanduser() / "mpbuild"
    except RuntimeError as error:
        raise InputError(
            "this user has no home folder for records",
            hint="set HOME or XDG_STATE_HOME",
        ) from error
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def keep_record(data: bytes, package: Digest) -> Path:
    """Writes a record by its digest, and as the last one of ``package``; returns its path."""
    path = _records() / f"{Digest.of(data).hex}.json"
    try:
        for target in (path, _last(package)):
            write_new(path.parent, target, data)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def record_of(package: Digest) -> bytes | None:
    """Returns the record of this user's last build of ``package``, if any."""
    try:
        return _last(package).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, _last(package)) from error


def keep_check(data: bytes, subject: Digest) -> None:
    """Writes the result of the last check of ``subject``."""
    path = _check(subject)
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True, mode=0o700)
        write_new(path.parent, path, data)


def check_of(subject: Digest) -> bytes:
    """Returns the result of this user's last check of ``subject``, if any.

    Raises EnvironmentFailureError if it cannot be read.
    """
    path = _check(subject)
    with disk_errors(path):
        return path.read_bytes()


def _check(subject: Digest) -> Path:
    return folder() / "checks" / f"{subject.hex}.json"


def _last(package: Digest) -> Path:
    return _records() / f"package-{package.hex}.json"


def _records() -> Path:
    path = folder() / "records"
    with disk_errors(path):
        path.mkdir(exist_ok=True, mode=0o700)
    return path
