"""The locks of a target's accelerators: resolved as one, so that what they share is the same.

First the requirements of all together, then those of each under the versions that came out. What
two accelerators share has one version and one wheel, so their images share its layer.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.indexes import Index
from mpbuild.effects.uv import Pin, Resolved, Uv
from mpbuild.formats.pylock import PythonLock, PythonPackage
from mpbuild.resolve import python
from mpbuild.resolve.python import Inputs

if TYPE_CHECKING:
    from mpbuild.effects.web import Web


def lock(
    wanted: Mapping[str, Inputs],
    *,
    index: Index,
    uv: Uv,
    web: "Web",
    previous: Mapping[str, PythonLock],
) -> dict[str, PythonLock]:
    """Resolve the inputs of all accelerators; versions of ``previous`` stay where they can.

    Where previous locks differ, the accelerator that comes first in ``wanted`` counts. Raises
    InputError where there is no solution for all, and (content-mismatch) where a file of
    ``previous`` has other bytes today.
    """
    old = [_by_name(previous[name]) for name in wanted if name in previous]
    known = {name: package for packages in reversed(old) for name, package in packages.items()}
    pins: list[Pin] = []
    if len(wanted) > 1:
        union = _union(wanted, known, index, uv)
        for packages in old:
            python.refuse_changed(union, packages)
        pins = [(package.name, package.version) for package in union]
    locks = {
        name: python.lock(
            inputs, environment=name, index=index, uv=uv, web=web, known=known, pins=pins
        )
        for name, inputs in wanted.items()
    }
    findings = skew({f"pylock.{name}.toml": lock for name, lock in locks.items()})
    if findings:
        raise InputError.collect(findings)
    return locks


def skew(locks: Mapping[str, PythonLock]) -> list[Finding]:
    """Every package that two of ``locks``, by file name, have in another version or wheel."""
    findings = []
    first: dict[str, tuple[str, PythonPackage]] = {}
    for file, lock in locks.items():
        for package in lock.packages:
            name, other = first.setdefault(package.name, (lock.environment, package))
            if other != package:
                told = f"{_told(other, package)} for {name} and {_told(package, other)} for"
                message = f"{package.name} is {told} {lock.environment}, and they must agree"
                findings.append(Finding("lock-drift", message, file, "run `mpbuild lock`"))
    return findings


def _by_name(lock: PythonLock) -> dict[str, PythonPackage]:
    return {package.name: package for package in lock.packages}


def _told(package: PythonPackage, other: PythonPackage) -> str:
    if package.version != other.version:
        return package.version
    return f"{package.wheel.filename} ({package.wheel.sha256})"


def _union(
    wanted: Mapping[str, Inputs], known: Mapping[str, PythonPackage], index: Index, uv: Uv
) -> tuple[Resolved, ...]:
    inputs = next(iter(wanted.values()))
    preferences = [(package.name, package.version) for package in known.values()]
    try:
        return uv.compile(inputs.union, inputs.target, index, preferences=preferences)
    except InputError as error:
        _blame(wanted, index, uv)
        raise InputError(
            f"{', '.join(wanted)} exclude each other, and what they share must have one version:"
            f" {error.findings[0].message}",
            hint="choose versions that agree, or make a model of its own for one of them",
        ) from error


def _blame(wanted: Mapping[str, Inputs], index: Index, uv: Uv) -> None:
    """Raise the error of the first accelerator that can't even be resolved alone."""
    for name, inputs in wanted.items():
        try:
            uv.compile(inputs.requirements, inputs.target, index, constraints=inputs.constraints)
        except InputError as error:
            raise error.within(f"accelerators.{name}") from error
