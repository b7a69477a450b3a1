"""Checks that the locks of a target's accelerators agree on shared packages."""

from collections.abc import Mapping

from packaging.version import Version

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.formats.python.pylock import PythonLock, PythonPackage


def skew(locks: Mapping[str, PythonLock]) -> list[Finding]:
    """Yields packages that two of ``locks``, by file name, have in different versions or wheels."""
    findings = []
    first: dict[str, tuple[str, PythonPackage]] = {}
    for file, lock in locks.items():
        for package in lock.packages:
            name, other = first.setdefault(package.name, (lock.environment, package))
            if not _agree(other, package):
                one, another = _version(other, package), _version(package, other)
                message = (
                    f"{package.name} is {one} for {name} and {another} for {lock.environment},"
                    " but they must agree"
                )
                findings.append(Finding(Code.LOCK_DRIFT, message, file, "run `mpbuild lock`"))
    return findings


def _agree(one: PythonPackage, other: PythonPackage) -> bool:
    if one.index == other.index:
        return one == other
    return Version(one.version).public == Version(other.version).public


def _version(package: PythonPackage, other: PythonPackage) -> str:
    if package.version != other.version:
        return package.version
    return f"{package.wheel.filename} ({package.wheel.sha256})"
