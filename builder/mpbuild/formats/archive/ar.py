"""Reads the ar archive that is a Debian package (deb(5), "Format"; ar(5), common format)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.unsafe import UnsafeError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_NAME = re.compile(rb"([A-Za-z0-9_.+-]{1,16})/? *")
_SIZE = re.compile(rb"([0-9]{1,10}) *")


class ArMember(NamedTuple):
    """A member: its name and its bytes, not decompressed."""

    name: str
    data: memoryview


def read(data: Buffer) -> Iterator[ArMember]:
    """The members in order; raises UnsafeError unless they fill the archive exactly."""
    view = memoryview(data)
    if view[: len(_MAGIC)] != _MAGIC:
        raise UnsafeError("not an ar archive")
    at = len(_MAGIC)
    while at < len(view):
        header = bytes(view[at : at + _HEADER])
        name, size = _NAME.fullmatch(header[:16]), _SIZE.fullmatch(header[48:58])
        if not name or not size or header[58:] != b"`\n":
            raise UnsafeError("malformed member header in the ar archive")
        start = at + _HEADER
        end = start + int(size[1])
        at = end + end % 2
        if at > len(view) or bytes(view[end:at]) not in (b"", b"\n"):
            raise UnsafeError(f"member {name[1].decode()} is truncated or not padded")
        yield ArMember(name[1].decode(), view[start:end])
