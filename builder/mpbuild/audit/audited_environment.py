"""The input of the audit's checks, one environment at a time, and their output."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.derive.elf_needs import ElfNeeds
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.spec.environment import AcceleratorEnvironment


class Observation(NamedTuple):
    """A finding of the audit and the packages that it is about, for acceptance by the spec."""

    finding: Finding
    packages: tuple[str, ...] = ()

    @property
    def code(self) -> Code:
        """The finding's code."""
        return self.finding.code


class AuditedEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment, its lock and the facts of the lock's wheels by package.

    ``file`` and ``spec_file`` name lock and spec in messages. ``accelerator`` is None for
    environments of steps. ``requirements``, ``constraints`` and ``overrides`` are the inputs of the
    lock (PEP 508). ``debian`` has the needs of the layers of Debian packages, ``supplied`` the
    shared objects that the machine provides, and ``never_loaded`` paths in the image.
    """

    file: str
    spec_file: str
    lock: PythonLock
    facts: Mapping[str, WheelFacts]
    accelerator: AcceleratorEnvironment | None = None
    glibc: tuple[int, int]
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    debian: tuple[ElfNeeds, ...] = ()
    supplied: frozenset[str] = frozenset()
    never_loaded: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the environment."""
        return self.lock.environment

    @property
    def python(self) -> str:
        """The interpreter's minor version, such as "3.11"."""
        return self.lock.python

    @property
    def wheels(self) -> Iterable[tuple[PythonPackage, WheelFacts]]:
        """Each package with the facts of its wheel."""
        return [(package, self.facts[package.name]) for package in self.lock.packages]

    @property
    def versions(self) -> dict[str, str]:
        """Locked versions by name."""
        return {package.name: package.version for package in self.lock.packages}

    def at(self, package: str) -> str:
        """Returns the place of a finding about ``package``."""
        return f"{self.file}: packages: {package}"
