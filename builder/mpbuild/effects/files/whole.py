"""Reads a file of the user whole, up to a bound."""

from pathlib import Path
from typing import BinaryIO

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError


def read_whole(file: Path | BinaryIO, limit: int, where: str, code: Code = Code.USAGE) -> bytes:
    """Reads all of ``file``; raises InputError if that fails or exceeds ``limit`` bytes.

    A device without an end, such as /dev/zero, has more.
    """
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                data = opened.read(limit + 1)
        else:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where, code=code) from error
    if len(data) > limit:
        raise InputError(f"has more than {limit} bytes", where=where, code=code)
    return data
