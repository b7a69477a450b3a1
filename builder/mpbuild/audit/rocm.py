"""Which ROCm the wheels of a lock are for: one, and the one that the machine has.

Names (``jax-rocm7-plugin``), local versions (``+rocm7.1``) and the names of AMD's libraries that
shared objects need tell of it. Codes: framework-skew between wheels, spec-invalid against the
spec's requires.libraries.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.formats.python.pylock import PythonPackage
from mpbuild.spec.environment import RocmEnvironment

_NAME = re.compile(r".+-rocm(\d+)(?:-.+)?")
_LOCAL = re.compile(r".+\+rocm(\d+)(?:\..+)?")
# Its version is ROCm's own major; those of other libraries count for themselves.
_LIBRARY = re.compile(r"libamdhip64\.so\.(\d+)")
_OLDEST = 4


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Wheels for several ROCms, then for another one than the machine is said to have."""
    if subject.name != Accelerator.ROCM:
        return
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for package, facts in subject.wheels:
        for major, why in _majors(package, facts):
            found[major].setdefault(package.name, why)
    if len(found) > 1:
        told = "; ".join(
            f"{next(iter(names.values()))}: ROCm {major}" for major, names in sorted(found.items())
        )
        packages = tuple(sorted({name for names in found.values() for name in names}))
        yield Observation(
            Code.FRAMEWORK_SKEW,
            packages,
            f"the wheels are for more than one ROCm: {told}",
            subject.at(packages[0]),
            "depend on frameworks that are built for the same ROCm",
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
                    Code.SPEC_INVALID,
                    tuple(sorted(names)),
                    f"accelerators.rocm.requires.libraries has {library}, and"
                    f" {next(iter(names.values()))} is for ROCm {major}",
                    subject.spec_file,
                    f"write libamdhip64.so.{major}, or depend on wheels for ROCm {match[1]}",
                )


def _majors(package: PythonPackage, facts: WheelFacts) -> Iterator[tuple[int, str]]:
    told = f"{package.name} {package.version}"
    for pattern, text in ((_NAME, package.name), (_LOCAL, package.version)):
        if match := pattern.fullmatch(text):
            yield _major(match[1]), told
    for name, elf in sorted(facts.elf.items()):
        for library in elf.needed:
            if match := _LIBRARY.fullmatch(library):
                yield int(match[1]), f"{name} of {told}"


def _major(digits: str) -> int:
    """Of a name: ``7`` and ``60`` alike begin with it, and no wheel is for a ROCm before 4."""
    first = int(digits[0])
    return first if first >= _OLDEST else int(digits[:2])
