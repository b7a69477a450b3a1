"""Python locks: what goes into a resolution, and the one wheel of each package that comes out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from mpbuild.base import canonical
from mpbuild.base.coding import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError, WorldError
from mpbuild.effects.indexes import Index
from mpbuild.effects.request import Request
from mpbuild.effects.uv import Candidate, Pin, Resolved, Target, Uv
from mpbuild.formats import tags
from mpbuild.formats.pylock import FORMAT, PythonLock, PythonPackage, Wheel

if TYPE_CHECKING:
    from mpbuild.effects.web import Web

_SUITES = {"bookworm": Target("3.11", (2, 36)), "trixie": Target("3.13", (2, 41))}
_SIZES_AT_ONCE = 8


class Inputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a Python lock is resolved from, and nothing else, in one order.

    ``union`` holds the requirements of all accelerators where there are several: whatever one of
    them adds can move what the others share.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    python: str
    glibc: str
    indexes: tuple[str, ...]
    platform: str
    format: int
    union: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of the canonical JSON of the inputs."""
        return canonical.digest(plain(self))

    @property
    def target(self) -> Target:
        """What the wheels must run on."""
        major, minor = self.glibc.split(".")
        return Target(self.python, (int(major), int(minor)))


def inputs(
    requirements: Iterable[str],
    *,
    python: str,
    suite: str,
    constraints: Iterable[str] = (),
    union: Iterable[str] = (),
    index: str = "default",
) -> Inputs:
    """The canonical inputs for an environment on a base of the Debian ``suite``.

    Raises InputError where a requirement is none or names an address, and where the suite has
    another Python.
    """
    target = _SUITES.get(suite)
    if target is None:
        known = " and ".join(sorted(_SUITES))
        raise InputError(
            f"the Debian suite {suite!r} is not supported yet",
            code="not-supported-yet",
            hint=f"the suites whose Python and glibc are known: {known}",
        )
    if python != target.python:
        raise InputError(
            f"{suite} has no Python {python}",
            hint=f"Debian {suite} comes with Python {target.python}; choose it, or another base",
        )
    return Inputs(
        requirements=_canonical(requirements),
        constraints=_canonical(constraints),
        python=python,
        glibc=f"{target.glibc[0]}.{target.glibc[1]}",
        indexes=(index,),
        platform="linux/amd64",
        format=FORMAT,
        union=_canonical(union),
    )


def lock(
    wanted: Inputs,
    *,
    environment: str,
    index: Index,
    uv: Uv,
    web: "Web",
    known: Mapping[str, PythonPackage] = MappingProxyType({}),
    pins: Iterable[Pin] = (),
    fresh: Collection[str] = (),
    released_before: str = "",
) -> PythonLock:
    """Resolve ``wanted``; packages ``known`` by name stay as they are unless named in ``fresh``.

    ``pins`` bind what they name. ``released_before`` (RFC 3339) leaves younger files out. Raises
    InputError where there is no solution, and (content-mismatch) where a known file has other
    bytes today.
    """
    target = wanted.target
    resolved = uv.compile(
        wanted.requirements,
        target,
        index,
        constraints=[*wanted.constraints, *(f"{name}=={version}" for name, version in pins)],
        preferences=[(p.name, p.version) for p in known.values() if p.name not in fresh],
        released_before=released_before,
    )
    refuse_changed(resolved, known)
    ranks = tags.supported(target.python, target.glibc)
    chosen = [choose(package, ranks, known.get(package.name)) for package in resolved]
    sizes = _sizes(chosen, {p.wheel.sha256: p.wheel.size for p in known.values()}, index, web)
    packages = [
        _locked(package, wheel, sizes, index.name)
        for package, wheel in zip(resolved, chosen, strict=True)
    ]
    return PythonLock(
        environment=environment,
        python=wanted.python,
        resolution=wanted.digest,
        resolver=uv.version(),
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def requests(lock: PythonLock, *, index: Index, uv: Uv) -> tuple[Request, ...]:
    """How to get the wheels of ``lock``; their addresses come from the index, just now."""
    pins = [(package.name, package.version) for package in lock.packages]
    places = uv.locate(pins, lock.python, index)
    wheels = [package.wheel for package in lock.packages]
    gone = [wheel.filename for wheel in wheels if wheel.sha256 not in places]
    if gone:
        raise WorldError.collect([_gone(filename) for filename in gone])
    return tuple(
        Request(name=w.filename, urls=(places[w.sha256],), digest=w.sha256, size=w.size)
        for w in wheels
    )


def choose(
    package: Resolved, ranks: Mapping[Tag, int], locked: PythonPackage | None = None
) -> Candidate:
    """The wheel to lock: the one already ``locked`` if it still serves, else the best by its tags.

    Among equals the higher build number counts, then the name, so that the choice is one. That
    ``locked`` has not changed meanwhile is for ``refuse_changed`` to say.
    """
    fitting = []
    for wheel in package.wheels:
        said = tags.WheelName.of(wheel.filename)
        rank = tags.rank(said.tags, ranks)
        if rank is not None and wheel.sha256:
            if locked and wheel.filename == locked.wheel.filename:
                return wheel
            number, letters = said.build or (0, "")
            fitting.append(((-rank, number, letters, wheel.filename), wheel))
    if not fitting:
        raise InputError(
            f"{package.name} {package.version} has no wheel with a sha256 for this Python and"
            " platform",
            hint="mpbuild installs wheels only: choose another version, or build one into an index",
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def refuse_changed(resolved: Iterable[Resolved], old: Mapping[str, PythonPackage]) -> None:
    """Raise InputError (content-mismatch) where a locked file name stands for other bytes now."""
    findings = []
    for package in resolved:
        locked = old.get(package.name)
        for wheel in package.wheels if locked else ():
            if locked and wheel.filename == locked.wheel.filename:
                findings += _changed(wheel, locked.wheel)
    if findings:
        raise InputError.collect(findings)


def _changed(wheel: Candidate, locked: Wheel) -> list[Finding]:
    if wheel.sha256 in (None, locked.sha256):
        return []
    return [
        Finding(
            "content-mismatch",
            f"the index has other bytes for it than the lock: {wheel.sha256}, not {locked.sha256}",
            wheel.filename,
            "released files never change: find out which of the two is false before locking again",
        )
    ]


def _locked(
    package: Resolved, wheel: Candidate, sizes: Mapping[Digest, int], index: str
) -> PythonPackage:
    assert wheel.sha256, "choose gives no other"
    file = Wheel(filename=wheel.filename, sha256=wheel.sha256, size=sizes[wheel.sha256])
    name = canonicalize_name(package.name)
    return PythonPackage(name=name, version=package.version, wheel=file, index=index)


def _sizes(
    wheels: Sequence[Candidate], known: Mapping[Digest, int], index: Index, web: "Web"
) -> dict[Digest, int]:
    """Sizes in bytes by digest; those that neither lock nor index tells, asked of the server."""

    def size(wheel: Candidate) -> int:
        told = wheel.size or (known.get(wheel.sha256) if wheel.sha256 else None)
        return told or web.size(index.with_login(wheel.url))

    with ThreadPoolExecutor(_SIZES_AT_ONCE) as pool:
        found = pool.map(size, wheels)
        return {w.sha256: size for w, size in zip(wheels, found, strict=True) if w.sha256}


def _canonical(requirements: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({_requirement(text) for text in requirements}))


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        first = str(error).split("\n", 1)[0]
        raise InputError(
            f"{text!r} is not a requirement: {first}", hint="write it as in numpy>=2"
        ) from error
    if requirement.url:
        raise InputError(
            f"{text!r} names an address",
            hint="locks hold no addresses: put the wheel into an index and name its version",
        )
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _gone(filename: str) -> Finding:
    return Finding(
        "fetch-failed",
        "the index has no such file any more",
        filename,
        "if it was withdrawn, `mpbuild lock` finds another",
    )
