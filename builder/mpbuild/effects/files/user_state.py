"""What stays with the user: records of builds and of checks, in a folder nobody else can write.

``$XDG_STATE_HOME/mpbuild`` (XDG base directory specification), 0700. A record found in a shared
store proves nothing; one found here was written by this user's own builds. Imports little, because
a check that has nothing to do looks here.
"""

import os
from pathlib import Path

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.atomic import write_new
from mpbuild.effects.files.disk import disk_error, disk_errors


def folder() -> Path:
    """The state folder, made if need be."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        # The specification wants a relative path ignored.
        path = Path(base if base.startswith("/") else "~/.local/state").expanduser() / "mpbuild"
    except RuntimeError as error:
        raise InputError(
            "records are kept in the home folder, and this user has none",
            hint="set HOME or XDG_STATE_HOME",
        ) from error
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def keep_record(data: bytes, package: Digest) -> Path:
    """Write a record under its digest, and as the last one of ``package``; its path."""
    path = _records() / f"{Digest.of(data).hex}.json"
    try:
        for target in (path, _last(package)):
            write_new(path.parent, target, data)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def record_of(package: Digest) -> bytes | None:
    """The record of this user's last build of ``package``."""
    try:
        return _last(package).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, _last(package)) from error


def keep_check(data: bytes, subject: Digest) -> None:
    """Write what the last check of ``subject`` found."""
    path = _check(subject)
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True, mode=0o700)
        write_new(path.parent, path, data)


def check_of(subject: Digest) -> bytes:
    """What this user's last check of ``subject`` found.

    Raises an EnvironmentFailureError where there was none.
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
