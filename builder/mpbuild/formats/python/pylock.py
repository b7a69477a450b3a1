"""Python locks: pylock.toml (PEP 751) in one canonical form, one wheel a package, no URLs.

Follows the packaging specification "pylock.toml", lock-version 1.0, for CPython on linux/amd64.
Every error is an InputError (lock-malformed) with the path inside the document.
"""

import re

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mpbuild.base.digest import Digest
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import InputError
from mpbuild.formats import cuda
from mpbuild.formats.lock_toml import LockTable, lines, literal, malformed, refuse_doubles, sealed
from mpbuild.formats.python import wheel_tags

LOCK_VERSION = "1.0"
FORMAT = 1
FOLDER = "wheels/"

_CREATOR = "mpbuild"
_PLATFORM = "linux/amd64"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_VERSION = re.compile(r"[a-z0-9.+!]+")
_PYTHON = re.compile(r"3\.[1-9][0-9]?")
_RESOLVER = re.compile(r"[a-z]+ [0-9][0-9a-z.+]*")


class LockedWheel(msgspec.Struct, frozen=True, kw_only=True):
    """The wheel of a locked package; ``size`` in bytes."""

    filename: str
    sha256: Digest
    size: int


class PythonPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A locked package: normalized name and version, its wheel, the name of its index."""

    name: str
    version: str
    wheel: LockedWheel
    index: str = "default"


class PythonLock(msgspec.Struct, frozen=True, kw_only=True):
    """The wheels of one environment, sorted by name.

    ``python`` is a minor version such as "3.11"; ``resolution`` is the digest of the canonical
    resolution inputs; ``resolver`` is name and version of the resolver, such as "uv 0.13.9".
    """

    environment: str
    python: str
    resolution: Digest
    resolver: str
    packages: tuple[PythonPackage, ...]

    @property
    def requires_python(self) -> str:
        """The version specifier of ``python``."""
        return f"=={self.python}.*"

    @property
    def glibc(self) -> str:
        """The oldest glibc on which every wheel installs; empty if no wheel names one."""
        names = [wheel_tags.WheelName.of(package.wheel.filename) for package in self.packages]
        floors = [wheel_tags.floor(name.tags, self.python) for name in names]
        newest = max((floor for floor in floors if floor), default=None)
        return f"{newest[0]}.{newest[1]}" if newest else ""

    @property
    def cuda(self) -> DottedVersion | None:
        """The CUDA version of the wheels, None without any; raises the errors of cuda.py."""
        return cuda.version({package.name: package.version for package in self.packages})


def write(lock: PythonLock) -> str:
    """The canonical text of ``lock``."""
    head = [
        *lines(lock_version=LOCK_VERSION),
        f"environments = [{literal(_marker(lock.python))}]",
        *lines(requires_python=lock.requires_python, created_by=_CREATOR),
        *([] if lock.packages else ["packages = []"]),
    ]
    packages = [_text(package) for package in sorted(lock.packages, key=_by_name)]
    tool = [
        "[tool.mpbuild]",
        *lines(format=FORMAT, environment=lock.environment, platform=_PLATFORM, python=lock.python),
        *lines(**_floors(lock)),
        *lines(packages=len(lock.packages), resolution=lock.resolution, resolver=lock.resolver),
    ]
    return sealed((head, *packages, tool), at=len(packages) + 1)


def read(text: str, *, file: str) -> PythonLock:
    """Reads the lock in ``text``, in any layout; ``file`` names it in errors.

    Refuses everything that the canonical form can't express: other keys, URLs, missing or other
    hashes, and wheels that don't fit their package, the Python version or the platform.
    """
    try:
        return _lock(LockTable.document(text))
    except InputError as error:
        raise error.within(file) from None


def _floors(lock: PythonLock) -> dict[str, str]:
    """The wheels' demands on base and machine, computed from their names and versions."""
    floors = {"glibc": lock.glibc} if lock.glibc else {}
    if lock.cuda is not None:
        floors |= {"cuda": str(lock.cuda), "driver": str(cuda.floor(lock.cuda).driver)}
    return floors


def _marker(python: str) -> str:
    return (
        f"implementation_name == 'cpython' and python_version == '{python}'"
        " and sys_platform == 'linux' and platform_machine == 'x86_64'"
    )


def _by_name(package: PythonPackage) -> str:
    return package.name


def _text(package: PythonPackage) -> list[str]:
    wheel = package.wheel
    file = (
        f"{{ name = {literal(wheel.filename)}, path = {literal(FOLDER + wheel.filename)}, "
        f"size = {wheel.size}, hashes = {{ sha256 = {literal(wheel.sha256.hex)} }} }}"
    )
    return [
        "[[packages]]",
        *lines(name=package.name, version=package.version),
        f"wheels = [{file}]",
        f"tool.mpbuild.index = {literal(package.index)}",
    ]


def _lock(document: LockTable) -> PythonLock:
    document.exactly("lock-version", LOCK_VERSION)
    document.exactly("created-by", _CREATOR)
    tool = document.table("tool")
    ours = tool.table("mpbuild")
    ours.exactly("format", FORMAT)
    ours.exactly("platform", _PLATFORM)
    python = ours.text("python", _PYTHON)
    document.exactly("environments", [_marker(python)])
    document.exactly("requires-python", f"=={python}.*")
    packages = [_package(table, python) for table in document.tables("packages")]
    refuse_doubles([package.name for package in packages])
    ours.exactly("packages", len(packages))
    lock = PythonLock(
        environment=ours.text("environment", _NAME),
        python=python,
        resolution=ours.digest("resolution"),
        resolver=ours.text("resolver", _RESOLVER),
        packages=tuple(sorted(packages, key=_by_name)),
    )
    _check_floors(lock, ours)
    ours.digest("content")  # checked by comparing the whole text with that of write
    for table in (ours, tool, document):
        table.done()
    return lock


def _check_floors(lock: PythonLock, ours: LockTable) -> None:
    try:
        floors = _floors(lock)
    except InputError as error:
        raise malformed(error.findings[0].message, ours.path("cuda")) from error
    for key in ("glibc", "cuda", "driver"):
        if key in floors or ours.has(key):
            ours.exactly(key, floors.get(key, ""))


def _package(table: LockTable, python: str) -> PythonPackage:
    name = table.text("name", _NAME)
    version = table.text("version", _VERSION)
    files = table.tables("wheels")
    if len(files) != 1:
        raise malformed(f"a package has one wheel, not {len(files)}", table.path("wheels"))
    wheel = _wheel(files[0])
    _check_name(wheel.filename, name, version, python, files[0].path("name"))
    tool = table.table("tool")
    ours = tool.table("mpbuild")
    index = ours.text("index", _NAME)
    for part in (ours, tool, table):
        part.done()
    return PythonPackage(name=name, version=version, wheel=wheel, index=index)


def _wheel(file: LockTable) -> LockedWheel:
    filename = file.text("name")
    path = file.text("path")
    if path != FOLDER + filename or "/" in filename:
        raise malformed(f"{path!r} is not {FOLDER} followed by the wheel's name", file.path("path"))
    size = file.size()
    hashes = file.table("hashes")
    wheel = LockedWheel(filename=filename, sha256=hashes.sha256(), size=size)
    hashes.done()
    file.done()
    return wheel


def _check_name(filename: str, name: str, version: str, python: str, where: str) -> None:
    try:
        parsed = wheel_tags.WheelName.of(filename)
        normal = str(Version(version))
    except InputError as error:
        raise error.within(where) from None
    except InvalidVersion as error:
        raise malformed(f"{version!r} is not a version (PEP 440)", where) from error
    if (parsed.name, parsed.version) != (canonicalize_name(name), version) or normal != version:
        raise malformed(f"{filename!r} is not a wheel of {name} {version}", where)
    if wheel_tags.rank(parsed.tags, wheel_tags.supported(python, wheel_tags.ANY_GLIBC)) is None:
        raise malformed(f"{filename!r} is not for CPython {python} on linux/amd64", where)
