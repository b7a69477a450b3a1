"""Wheels made for a test, their facts, and environments that hold them."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import isal.isal_zlib
import pytest

from mpbuild.audit.audited_environment import AuditedEnvironment
from mpbuild.audit.read_wheel_facts import ReadLimits, WholeWheel, read_facts
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.digest import Digest
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.formats.python.wheel_tags import WheelName
from tests.making.wheels import write_wheel

EVERYTHING = ReadLimits()
FILE = "lockfiles/digits/pylock.cpu.toml"


def wheel(filename, files=None, *metadata, tags=None, **more) -> bytes:
    """A wheel without rows in RECORD; WHEEL gives ``tags``, or those of the file name."""
    tags = sorted(map(str, WheelName.of(filename).tags)) if tags is None else tags
    head = ("Wheel-Version: 1.0", "Root-Is-Purelib: false", *(f"Tag: {one}" for one in tags), "")
    overrides = {"WHEEL": "\n".join(head), "RECORD": b""}
    return write_wheel(
        filename, files, *metadata, "", "Text.", overrides=overrides, record=False, **more
    )


def facts(data: bytes, limits: ReadLimits = EVERYTHING) -> WheelFacts:
    """What a wheel at hand says."""
    return read_facts(WholeWheel(memoryview(data)), limits)


def subject(
    wheels: Mapping[str, bytes | WheelFacts],
    *,
    environment: str = "cpu",
    python: str = "3.11",
    **more,
) -> AuditedEnvironment:
    """An environment with these wheels, by file name; every one of them is asked for."""
    packages = []
    found = {}
    for filename, what in wheels.items():
        said = WheelName.of(filename)
        file = LockedWheel(filename=filename, sha256=Digest.of(filename.encode()), size=1)
        packages.append(PythonPackage(name=said.name, version=said.version, wheel=file))
        found[said.name] = what if isinstance(what, WheelFacts) else facts(what)
    lock = PythonLock(
        environment=environment,
        python=python,
        resolution=Digest.of(b""),
        resolver="uv 0",
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )
    given = {
        "file": FILE.replace("cpu", environment),
        "spec_file": "digits/model.toml",
        "glibc": (2, 36),
        "requirements": tuple(package.name for package in lock.packages),
    }
    return AuditedEnvironment(lock=lock, facts=found, **(given | more))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders by what they make."""
    return SimpleNamespace(wheel=wheel, facts=facts, subject=subject)


@pytest.fixture(scope="session")
def shared_object() -> bytes:
    """A real ELF file that needs the C library: an extension module."""
    return Path(isal.isal_zlib.__file__).read_bytes()
