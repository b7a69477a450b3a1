"""What the checks look at, one environment at a time, and what they have to say."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, Severity
from mpbuild.derive.elf_needs import ElfNeeds
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.spec.environment import AcceleratorEnvironment


class Observation(NamedTuple):
    """A finding, and the packages that it is about: an accepted one must name all of them."""

    code: Code
    packages: tuple[str, ...]
    message: str
    where: str
    hint: str = ""
    severity: Severity = "error"

    @property
    def finding(self) -> Finding:
        """Without the packages, which the message names."""
        return Finding(self.code, self.message, self.where, self.hint, self.severity)


class AuditedEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, its lock and the facts of the lock's wheels by package.

    ``file`` and ``spec_file`` are how messages name lock and spec; ``accelerator`` is None of
    further environments. ``requirements``, ``constraints`` and ``overrides`` are those that the
    lock was resolved from (PEP 508). ``debian`` are the needs of the layers of Debian packages;
    ``supplied`` the shared objects that the machine brings, ``never_loaded`` paths in the image.
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
        """The environment's."""
        return self.lock.environment

    @property
    def python(self) -> str:
        """The interpreter's minor version, such as "3.11"."""
        return self.lock.python

    @property
    def wheels(self) -> Iterable[tuple[PythonPackage, WheelFacts]]:
        """Each package and the facts of its wheel."""
        return [(package, self.facts[package.name]) for package in self.lock.packages]

    @property
    def versions(self) -> dict[str, str]:
        """Locked versions by name."""
        return {package.name: package.version for package in self.lock.packages}

    def at(self, package: str) -> str:
        """Where a finding about ``package`` stands."""
        return f"{self.file}: packages: {package}"
