"""Resolves Python locks: from requirements to one wheel for each package."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from packaging.tags import Tag
from packaging.utils import canonicalize_name

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.resolution_failure import ResolutionError
from mpbuild.effects.python.uv import (
    NO_WHEEL,
    Pin,
    ResolvedPackage,
    Uv,
    WheelCandidate,
    WheelPlatform,
)
from mpbuild.effects.threads import at_once
from mpbuild.formats.python import wheel_tags
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.locks.python_inputs import PythonInputs

if TYPE_CHECKING:
    from mpbuild.effects.http.client import HttpClient
    from mpbuild.effects.python.projects import Projects

NOTHING: Mapping[str, PythonPackage] = MappingProxyType({})

_SIZES_AT_ONCE = 8


def target(wanted: PythonInputs) -> WheelPlatform:
    """Returns the platform of the wheels."""
    major, minor = wanted.glibc.split(".")
    return WheelPlatform(wanted.python, (int(major), int(minor)))


def resolve(
    wanted: PythonInputs,
    view: IndexView,
    uv: Uv,
    *,
    requirements: Sequence[str] | None = None,
    known: Mapping[str, PythonPackage] = NOTHING,
    pins: Iterable[Pin] = (),
    fresh: Collection[str] = (),
) -> tuple[ResolvedPackage, ...]:
    """Resolves ``wanted``, or other ``requirements`` within its bounds, to versions.

    Keeps versions of ``known`` if possible, except those in ``fresh``; ``pins`` are mandatory.
    Raises ResolutionError if there is no solution, and InputError (content-mismatch) if a known
    file has changed.
    """
    resolved = uv.compile(
        wanted.requirements if requirements is None else requirements,
        target(wanted),
        view,
        constraints=[*wanted.constraints, *(f"{name}=={version}" for name, version in pins)],
        overrides=wanted.overrides,
        preferences=[(p.name, p.version) for p in known.values() if p.name not in fresh],
    )
    refuse_changed(resolved, known)
    return resolved


def lock(
    wanted: PythonInputs,
    *,
    environment: str,
    view: IndexView,
    uv: Uv,
    web: "HttpClient",
    known: Mapping[str, PythonPackage] = NOTHING,
    pins: Iterable[Pin] = (),
    fresh: Collection[str] = (),
) -> PythonLock:
    """Locks ``wanted``; ``known`` packages keep their versions, except those in ``fresh``.

    ``pins`` are mandatory. Raises ResolutionError if there is no solution, and InputError
    (content-mismatch) if a known file has changed.
    """
    resolved = resolve(wanted, view, uv, known=known, pins=pins, fresh=fresh)
    aim = target(wanted)
    ranks = wheel_tags.supported(aim.python, aim.glibc)
    chosen = [
        choose(package, ranks, None if package.name in fresh else known.get(package.name))
        for package in resolved
    ]
    sizes = _sizes(chosen, {p.wheel.sha256: p.wheel.size for p in known.values()}, view, web)
    packages = [
        _locked(package, wheel, sizes, view)
        for package, wheel in zip(resolved, chosen, strict=True)
    ]
    return PythonLock(
        environment=environment,
        python=wanted.python,
        resolution=wanted.digest,
        resolver=uv.version,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def requests(
    lock: PythonLock, *, find: Callable[[str], PythonIndex], uv: Uv, projects: "Projects"
) -> tuple[FileRequest, ...]:
    """Yields requests for the wheels of ``lock`` with current URLs from the indexes.

    ``find`` returns an index by its name. Raises EnvironmentFailureError (fetch-failed) if an index
    no longer has a file.
    """
    places: dict[Digest, str] = {}
    for name in sorted({package.index for package in lock.packages}):
        packages = [package for package in lock.packages if package.index == name]
        places |= _places(find(name), packages, lock.python, uv, projects)
    wheels = [package.wheel for package in lock.packages]
    gone = [wheel.filename for wheel in wheels if wheel.sha256 not in places]
    if gone:
        raise EnvironmentFailureError.collect([_gone(filename) for filename in gone])
    return tuple(
        FileRequest(name=w.filename, urls=(places[w.sha256],), digest=w.sha256, size=w.size)
        for w in wheels
    )


def _places(
    index: PythonIndex, packages: Sequence[PythonPackage], python: str, uv: Uv, projects: "Projects"
) -> dict[Digest, str]:
    """The URLs of the wheels of ``packages`` in ``index``; uv knows the default one's mirrors.

    Folders have no digests; files are checked when they are fetched.
    """
    if index.name == "default" and not index.flat:
        return uv.locate([(p.name, p.version) for p in packages], python, index)
    found = {}
    for package in packages:
        for file in projects.files(index, package.name):
            named = file.filename == package.wheel.filename
            if named if index.flat else file.sha256 == package.wheel.sha256:
                found[package.wheel.sha256] = file.url
    return found


def choose(
    package: ResolvedPackage, ranks: Mapping[Tag, int], locked: PythonPackage | None = None
) -> WheelCandidate:
    """Returns the wheel to lock: the ``locked`` one if it still fits, else the best by its tags.

    The higher build number decides between equals, then the name. ``refuse_changed`` checks that
    ``locked`` has not changed.
    """
    fitting = []
    for wheel in package.wheels:
        name = wheel_tags.WheelName.of(wheel.filename)
        rank = wheel_tags.rank(name.tags, ranks)
        if rank is not None and wheel.sha256:
            if locked and wheel.filename == locked.wheel.filename:
                return wheel
            number, letters = name.build or (0, "")
            fitting.append(((-rank, number, letters, wheel.filename), wheel))
    if not fitting:
        raise ResolutionError(
            f"{package.name} {package.version} has no wheel with a sha256 for this Python and"
            " platform",
            hint=NO_WHEEL,
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def refuse_changed(resolved: Iterable[ResolvedPackage], old: Mapping[str, PythonPackage]) -> None:
    """Raises InputError (content-mismatch) if a locked file name now has another digest."""
    findings = []
    for package in resolved:
        locked = old.get(package.name)
        for wheel in package.wheels if locked else ():
            if locked and wheel.filename == locked.wheel.filename:
                findings += _changed(wheel, locked.wheel)
    if findings:
        raise InputError.collect(findings)


def _changed(wheel: WheelCandidate, locked: LockedWheel) -> list[Finding]:
    if wheel.sha256 in (None, locked.sha256):
        return []
    return [
        Finding(
            Code.CONTENT_MISMATCH,
            f"the index now has {wheel.sha256} for this file; locked: {locked.sha256}",
            wheel.filename,
            "released files never change: find out which of the two is wrong before locking again",
        )
    ]


def _locked(
    package: ResolvedPackage, wheel: WheelCandidate, sizes: Mapping[Digest, int], view: IndexView
) -> PythonPackage:
    assert wheel.sha256, "choose returns only wheels with a sha256"
    file = LockedWheel(filename=wheel.filename, sha256=wheel.sha256, size=sizes[wheel.sha256])
    name = canonicalize_name(package.name)
    index = view.index_of(name)
    return PythonPackage(name=name, version=package.version, wheel=file, index=index)


def _sizes(
    wheels: Sequence[WheelCandidate],
    known: Mapping[Digest, int],
    view: IndexView,
    web: "HttpClient",
) -> dict[Digest, int]:
    """Returns sizes in bytes by digest: from the lock, the index, or else the server."""

    def size(wheel: WheelCandidate) -> int:
        found = wheel.size or (known.get(wheel.sha256) if wheel.sha256 else None)
        return found or web.size(view.default.with_login(wheel.url))

    with at_once(_SIZES_AT_ONCE) as pool:
        found = pool.map(size, wheels)
        return {w.sha256: size for w, size in zip(wheels, found, strict=True) if w.sha256}


def _gone(filename: str) -> Finding:
    return Finding(
        Code.FETCH_FAILED,
        "the index no longer has this file",
        filename,
        "if it was withdrawn, `mpbuild lock` selects another release",
    )
