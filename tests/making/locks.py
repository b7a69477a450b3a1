"""Locks of wheels and Debian packages that tests made, by the writers of mpbuild."""

from collections.abc import Iterable, Mapping

from mpbuild.base.digest import Digest
from mpbuild.formats.debian.deblock import DebianLock, DebianPackage, filename
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.formats.python.wheel_tags import WheelName

NOTHING = Digest.of(b"")


def locked_wheel(name: str, data: bytes) -> PythonPackage:
    """The lock's entry for the wheel ``name`` with the bytes ``data``."""
    wheel = WheelName.of(name)
    file = LockedWheel(filename=name, sha256=Digest.of(data), size=len(data))
    return PythonPackage(name=wheel.name, version=wheel.version, wheel=file)


def python_lock(
    environment: str,
    wheels: Mapping[str, bytes],
    *,
    python: str = "3.11",
    resolution: Digest = NOTHING,
    resolver: str = "uv 0.13.9",
) -> PythonLock:
    """The Python lock of ``wheels``: file name to bytes."""
    packages = (locked_wheel(name, data) for name, data in wheels.items())
    return PythonLock(
        environment=environment,
        python=python,
        resolution=resolution,
        resolver=resolver,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def locked_deb(name: str, version: str, data: bytes, *, base: bool = True) -> DebianPackage:
    """The lock's entry for an amd64 package with the bytes ``data``."""
    return DebianPackage(
        name=name,
        version=version,
        architecture="amd64",
        base=base,
        path=f"pool/main/{name[0]}/{name}/{filename(name, version, 'amd64')}",
        sha256=Digest.of(data),
        size=len(data),
    )


def debian_lock(
    environment: str,
    packages: Iterable[DebianPackage],
    *,
    suite: str = "bookworm",
    resolution: Digest = NOTHING,
) -> DebianLock:
    """The Debian lock of ``packages``."""
    return DebianLock(
        environment=environment,
        suite=suite,
        architecture="amd64",
        resolution=resolution,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )
