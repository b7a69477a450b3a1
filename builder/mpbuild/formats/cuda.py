"""Which CUDA the wheels of a lock bring, and what it asks of a machine.

The floors are NVIDIA's, by major version: of the driver in "CUDA Compatibility", section "Minor
Version Compatibility"; of the compute capability in the release notes of each toolkit's 0 version.
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
    """The least driver and compute capability on which a major version of CUDA runs."""

    driver: DottedVersion
    capability: DottedVersion


_FLOORS = {
    11: Floor(DottedVersion("450.80.02"), DottedVersion("3.5")),
    12: Floor(DottedVersion("525.60.13"), DottedVersion("5.0")),
    13: Floor(DottedVersion("580"), DottedVersion("7.5")),
}


def is_nvidia(name: str) -> bool:
    """Whether a package of this name is one of NVIDIA's."""
    return name.startswith("nvidia-")


def version(packages: Mapping[str, str]) -> DottedVersion | None:
    """The CUDA of locked packages, names to versions; None where nothing tells of one.

    Major and minor version of the runtime's wheel, or the major version in the name of another,
    such as nvidia-cudnn-cu13. Raises InputError where wheels are for more than one.
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
        told = ", ".join(f"{name} for {found[name].major}" for name in sorted(found))
        raise InputError(
            f"the wheels are for more than one CUDA: {told}",
            hint="depend on frameworks that are built for the same CUDA",
        )
    return max(runtimes.values() or named.values(), default=None)


def floor(cuda: DottedVersion) -> Floor:
    """What ``cuda`` asks for; raise InputError (not-supported-yet) where that isn't known."""
    try:
        return _FLOORS[cuda.major]
    except KeyError:
        raise InputError(
            f"the driver that CUDA {cuda} needs is not known to this version of mpbuild",
            code=Code.NOT_SUPPORTED_YET,
            hint=f"it knows those of CUDA {', '.join(map(str, _FLOORS))}",
        ) from None
