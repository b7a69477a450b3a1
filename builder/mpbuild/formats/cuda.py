"""Finds the CUDA version of a lock's wheels, and the driver and compute capability that it needs.

The floors of a major version are NVIDIA's: for the driver those of "CUDA Compatibility", section
"Minor Version Compatibility"; for the compute capability those of the toolkit's x.0 release notes.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from packaging.version import Version

from mpbuild.base.codes import Code
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import InputError

_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?")
_SUFFIX = re.compile(r"nvidia-.+-cu(\d+)")


class Floor(NamedTuple):
    """The lowest driver and compute capability that a major version of CUDA supports."""

    driver: DottedVersion
    capability: DottedVersion


_FLOORS = {
    11: Floor(DottedVersion("450.80.02"), DottedVersion("3.5")),
    12: Floor(DottedVersion("525.60.13"), DottedVersion("5.0")),
    13: Floor(DottedVersion("580"), DottedVersion("7.5")),
}


def is_nvidia(name: str) -> bool:
    """Whether the package is one of NVIDIA's."""
    return name.startswith("nvidia-")


def version(packages: Mapping[str, str]) -> DottedVersion | None:
    """The CUDA version of locked packages, names to versions; None without CUDA packages.

    It is major and minor version of the runtime's wheel, or the major version in the name of
    another, such as nvidia-cudnn-cu13. Raises InputError for wheels of several major versions.
    """
    runtimes = {
        name: DottedVersion(".".join(map(str, [*Version(text).release, 0][:2])))
        for name, text in packages.items()
        if _RUNTIME.fullmatch(name)
    }
    named = {
        name: DottedVersion(f"{match.group(1)}.0")
        for name in packages
        if name not in runtimes and (match := _SUFFIX.fullmatch(name))
    }
    found = runtimes | named
    if len({cuda.major for cuda in found.values()}) > 1:
        wheels = ", ".join(f"{name} for {found[name].major}" for name in sorted(found))
        raise InputError(
            f"the wheels are for more than one CUDA: {wheels}",
            hint="depend on frameworks built for the same CUDA",
        )
    return max(runtimes.values() or named.values(), default=None)


def floor(cuda: DottedVersion) -> Floor:
    """The needs of ``cuda``; raises InputError (not-supported-yet) for an unknown version."""
    try:
        return _FLOORS[cuda.major]
    except KeyError:
        raise InputError(
            f"CUDA {cuda} is not supported: its driver requirement is unknown",
            code=Code.NOT_SUPPORTED_YET,
            hint=f"this version of mpbuild supports CUDA {', '.join(map(str, _FLOORS))}",
        ) from None
