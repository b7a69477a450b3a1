"""Ranks the wheels that CPython on linux/amd64 can install, and finds the glibc that each needs.

Follows the packaging specifications "Platform compatibility tags" and "Binary distribution format",
and PEP 600 (manylinux_2_N) with the three legacy names.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

Glibc = tuple[int, int]

ANY_GLIBC: Glibc = (2, 99)

_OLDEST = 5
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_x86_64")
_PYTHON = re.compile(r"3\.(\d{1,2})")
_PLAIN = re.compile(r"[A-Za-z0-9._+!-]+\.whl")


class WheelName(NamedTuple):
    """The parts of the file name of a wheel."""

    name: str
    version: str
    build: BuildTag
    tags: frozenset[Tag]

    @classmethod
    def of(cls, filename: str) -> "WheelName":
        """Parses ``filename``; raises InputError (lock-malformed)."""
        return _wheel_name(filename)


@cache
def supported(python: str, glibc: Glibc) -> Mapping[Tag, int]:
    """The tags that CPython ``python`` ("3.11") with ``glibc`` can install, ranked from 0."""
    match = _PYTHON.fullmatch(python)
    if not match:
        raise InputError(
            f"not a Python version: {python!r}", hint="write a minor version, such as 3.11"
        )
    version = (3, int(match.group(1)))
    interpreter = f"cp3{version[1]}"
    names = platforms(glibc)
    tags = [
        *cpython_tags(version, [interpreter], names),
        *compatible_tags(version, interpreter, names),
    ]
    return {tag: i for i, tag in enumerate(dict.fromkeys(tags))}


def platforms(glibc: Glibc) -> list[str]:
    """All platform tags that linux/amd64 with ``glibc`` can install, best first."""
    found = ["linux_x86_64"]
    for minor in range(glibc[1], _OLDEST - 1, -1):
        found.append(f"manylinux_2_{minor}_x86_64")
        if minor in _LEGACY:
            found.append(f"{_LEGACY[minor]}_x86_64")
    return found


def rank(tags: Iterable[Tag], among: Mapping[Tag, int]) -> int | None:
    """The best rank of a wheel with ``tags``, or None if it can't be installed."""
    return min((among[tag] for tag in tags if tag in among), default=None)


def floor(tags: Iterable[Tag], python: str) -> Glibc | None:
    """The lowest glibc on which a wheel with ``tags`` installs; None if the tags name none."""
    among = supported(python, ANY_GLIBC)
    floors = [_glibc(tag.platform) for tag in tags if tag in among]
    known = [glibc for glibc in floors if glibc is not None]
    return min(known) if known and len(known) == len(floors) else None


@lru_cache(maxsize=1024)
def _wheel_name(filename: str) -> WheelName:
    """Cached, since locks parse the same names when read, checked and written."""
    if not _PLAIN.fullmatch(filename):
        raise _malformed(filename, "not a plain file name")
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise _malformed(filename, str(error)) from error
    return WheelName(str(name), str(version), build, tags)


def _malformed(filename: str, why: str) -> InputError:
    return InputError(
        f"{filename[:120]!r} is not the file name of a wheel: {why}", code=Code.LOCK_MALFORMED
    )


def _glibc(platform: str) -> Glibc | None:
    match = _MANYLINUX.fullmatch(platform)
    if match:
        return 2, int(match.group(1))
    legacy = (minor for minor, name in _LEGACY.items() if platform == f"{name}_x86_64")
    return next(((2, minor) for minor in legacy), None)
