"""The locks of environments, the files that they name, and which environments a package needs."""

import posixpath
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.formats.debian.deblock import DebianLock
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.model import Model


class LockedFile(NamedTuple):
    """A pinned file and its size in bytes; ``kind`` is ``wheel``, ``debian`` or ``weights``."""

    kind: str
    name: str
    digest: Digest
    size: int


class EnvironmentLocks(msgspec.Struct, frozen=True):
    """The Python lock and the Debian lock of one environment."""

    python: PythonLock
    debian: DebianLock

    @property
    def files(self) -> Iterator[LockedFile]:
        """Every wheel and every Debian package."""
        for package in self.python.packages:
            wheel = package.wheel
            yield LockedFile("wheel", wheel.filename, wheel.sha256, wheel.size)
        for deb in self.debian.packages:
            yield LockedFile("debian", posixpath.basename(deb.path), deb.sha256, deb.size)


def fetched_weights(model: Model) -> Iterator[LockedFile]:
    """The weights with a URL, which the spec itself pins."""
    for weight in model.core.weights:
        if weight.url:
            assert weight.sha256, "checked with the locks"
            yield LockedFile("weights", weight.name, weight.sha256, weight.size or 0)


def lock_environments(model: Model, accelerator: Accelerator) -> tuple[str, ...]:
    """The environments whose locks an image carries: its own, then those of the steps."""
    steps = {step.environment for step in model.steps}
    return (accelerator, *sorted(steps - {accelerator}))


def built_environments(model: Model, accelerators: Iterable[Accelerator]) -> tuple[str, ...]:
    """The environments whose files a build for ``accelerators`` needs."""
    return (*accelerators, *sorted({step.environment for step in model.steps}))
