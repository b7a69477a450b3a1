"""Checks that the wheels of a lock are for one ROCm, and for the one that the machine has.

The ROCm shows in names (``jax-rocm7-plugin``), in local versions (``+rocm7.1``) and in the names of
AMD's libraries that shared objects need. Codes: framework-skew between wheels, spec-invalid against
requires.libraries of the spec.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.formats.python.pylock import PythonPackage
from mpbuild.spec.environment import RocmEnvironment

_NAME = re.compile(r".+-rocm(\d+)(?:-.+)?")
_LOCAL = re.compile(r".+\+rocm(\d+)(?:\..+)?")
# Its version is the major version of ROCm; those of other libraries are their own.
_LIBRARY = re.compile(r"libamdhip64\.so\.(\d+)")
_OLDEST = 4


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields wheels for several ROCms, then wheels for another one than the machine's."""
    if subject.name != Accelerator.ROCM:
        return
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for package, facts in subject.wheels:
        for major, why in _majors(package, facts):
            found[major].setdefault(package.name, why)
    if len(found) > 1:
        versions = "; ".join(
            f"{next(iter(names.values()))}: ROCm {major}" for major, names in sorted(found.items())
        )
        packages = tuple(sorted({name for names in found.values() for name in names}))
        yield Observation(
            Finding(
                Code.FRAMEWORK_SKEW,
                f"the wheels are for more than one ROCm: {versions}",
                subject.at(packages[0]),
                "depend on frameworks that are built for the same ROCm",
            ),
            packages,
        )
    yield from _against_machine(subject, found)


def _against_machine(
    subject: AuditedEnvironment, found: dict[int, dict[str, str]]
) -> Iterator[Observation]:
    own = subject.accelerator
    libraries = own.requires.libraries if isinstance(own, RocmEnvironment) else ()
    for library in libraries:
        match = _LIBRARY.fullmatch(library)
        for major, names in sorted(found.items()):
            if match and int(match[1]) != major:
                yield Observation(
                    Finding(
                        Code.SPEC_INVALID,
                        f"accelerators.rocm.requires.libraries has {library}, but"
                        f" {next(iter(names.values()))} is for ROCm {major}",
                        subject.spec_file,
                        f"write libamdhip64.so.{major}, or depend on wheels for ROCm {match[1]}",
                    ),
                    tuple(sorted(names)),
                )


def _majors(package: PythonPackage, facts: WheelFacts) -> Iterator[tuple[int, str]]:
    release = f"{package.name} {package.version}"
    for pattern, text in ((_NAME, package.name), (_LOCAL, package.version)):
        if match := pattern.fullmatch(text):
            yield _major(match[1]), release
    for name, elf in sorted(facts.elf.items()):
        for library in elf.needed:
            if match := _LIBRARY.fullmatch(library):
                yield int(match[1]), f"{name} of {release}"


def _major(digits: str) -> int:
    """The major version in a name such as ``7`` or ``60``; no wheel is for a ROCm before 4."""
    first = int(digits[0])
    return first if first >= _OLDEST else int(digits[:2])
