"""Checks offline, from the texts alone, that locks match the spec."""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Generic, NamedTuple, Protocol, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import markers, pylock
from mpbuild.locks import debian_lock
from mpbuild.locks.python_inputs import PythonInputs
from mpbuild.spec.model import Model

L = TypeVar("L", bound="_Lock")

_HINT = "run `mpbuild lock`"
_CHANGED = "the spec has changed since it was locked"
_CHANGED_TOGETHER = f"{_CHANGED}: all accelerators are locked together"


class DriftCheck(NamedTuple, Generic[L]):
    """A parsed lock, None if it is malformed, and the findings about it."""

    lock: L | None
    findings: list[Finding]


def check_python(
    text: str | None, wanted: PythonInputs, *, environment: str, file: str
) -> DriftCheck[pylock.PythonLock]:
    """Checks the Python lock ``text`` of ``file``; ``text`` is None if there is no file.

    Compares the packages with the spec even if the lock's resolution inputs match. Codes:
    lock-missing, lock-malformed, lock-drift.
    """

    def drift(lock: pylock.PythonLock) -> list[str]:
        changed = _CHANGED_TOGETHER if wanted.union else _CHANGED
        return _unmet(wanted, lock) or ([] if lock.resolution == wanted.digest else [changed])

    return _check(text, file, environment, pylock, drift)


def check_debian(
    text: str | None, wanted: debian_lock.DebianInputs, *, environment: str, file: str
) -> DriftCheck[deblock.DebianLock]:
    """Checks the Debian lock ``text`` of ``file``; ``text`` is None if there is no file."""

    def drift(lock: deblock.DebianLock) -> list[str]:
        return _absent(wanted, lock) or ([] if lock.resolution == wanted.digest else [_CHANGED])

    return _check(text, file, environment, deblock, drift)


def check_weights(model: Model, text: str, *, file: str) -> list[Finding]:
    """Yields the fetched weights of the model.toml ``text`` without a pin: lock-missing."""
    found = [(i, weight) for i, weight in enumerate(model.core.weights) if not weight.pinned]
    if not found:
        return []
    from mpbuild.spec import toml_positions

    lines = toml_positions.lines(text)
    return [
        Finding(
            Code.LOCK_MISSING,
            f"the weights {weight.name} are fetched but not pinned",
            f"{file}:{toml_positions.line_of(('core', 'weights', index, 'url'), lines)}",
            _HINT,
        )
        for index, weight in found
    ]


class _Lock(Protocol):
    @property
    def environment(self) -> str: ...


class _Format(Protocol[L]):
    def read(self, text: str, *, file: str) -> L: ...

    def write(self, lock: L) -> str: ...


def _check(
    text: str | None,
    file: str,
    environment: str,
    form: _Format[L],
    drift: Callable[[L], list[str]],
) -> DriftCheck[L]:
    if text is None:
        return DriftCheck(None, [Finding(Code.LOCK_MISSING, "there is no lock", file, _HINT)])
    try:
        lock = form.read(text, file=file)
    except InputError as error:
        return DriftCheck(None, list(error.findings))
    if lock.environment != environment:
        message = f"the lock is for {lock.environment}, not for {environment}"
        return DriftCheck(lock, [Finding(Code.LOCK_DRIFT, message, file, _HINT)])
    changes = [Finding(Code.LOCK_DRIFT, change, file, _HINT) for change in drift(lock)]
    return DriftCheck(lock, changes or list(_edited(text, form.write(lock), file)))


def _edited(text: str, canonical: str, file: str) -> Iterator[Finding]:
    """Reports a lock that is not in canonical form, or whose content digest does not match."""
    if text == canonical:
        return
    pairs = zip_longest(text.split("\n"), canonical.split("\n"))
    line, (found, _) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    what = "it is not in canonical form"
    if found and found.startswith("content = "):
        what = "its content does not match its digest"
    message = f"the lock was edited or merged by hand: {what}"
    yield Finding(Code.LOCK_DRIFT, message, f"{file}:{line}", _HINT)


def _unmet(wanted: PythonInputs, lock: pylock.PythonLock) -> list[str]:
    versions = {package.name: package.version for package in lock.packages}
    found = []
    if lock.python != wanted.python:
        found.append(f"the lock is for Python {lock.python}, the spec for {wanted.python}")
    required, bounds = _asked(wanted)
    found += [
        f"the lock lacks {requirement}"
        for requirement in required
        if canonicalize_name(requirement.name) not in versions
    ]
    for requirement in bounds:
        version = versions.get(canonicalize_name(requirement.name))
        if version and not requirement.specifier.contains(version, prereleases=True):
            found.append(f"the spec requires {requirement}, but {version} is locked")
    for package in lock.packages:
        index = wanted.index_of(package.name)
        if package.index != index:
            found.append(f"{package.name} is from the index {package.index}, but {index} owns it")
    return found


def _asked(wanted: PythonInputs) -> tuple[list[Requirement], list[Requirement]]:
    """Required packages, and version bounds; overrides replace other requirements."""
    required, constraints, overrides = (
        [one for one in map(Requirement, texts) if markers.applies(one, wanted.python)]
        for texts in (wanted.requirements, wanted.constraints, wanted.overrides)
    )
    overridden = {canonicalize_name(one.name) for one in overrides}
    bounds = [one for one in required if canonicalize_name(one.name) not in overridden]
    return required, [*bounds, *constraints, *overrides]


def _absent(wanted: debian_lock.DebianInputs, lock: deblock.DebianLock) -> list[str]:
    names = {package.name for package in lock.packages}
    if lock.suite != wanted.suite:
        return [f"the lock is for {lock.suite}, the base is {wanted.suite}"]
    found = [
        f"the lock lacks {name}" for name in (*wanted.base, *wanted.system) if name not in names
    ]
    found += [
        f"{package.name} is part of the base, but not marked so"
        for package in lock.packages
        if package.name in wanted.base and not package.base
    ]
    if lock.links != wanted.links:
        found.append("its link table differs from the spec's")
    if not wanted.security and any(package.security for package in lock.packages):
        found.append("the lock has security updates, but the base excludes them")
    return found
