"""Compares locks with the answers of a second resolver.

pip checks names, versions and files, pip-tools names and versions, both constrained to the locked
versions. pip may prefer a wheel that was uploaded after the lock; that is a warning while the index
still has the locked wheel.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from packaging.requirements import Requirement

from mpbuild.audit import requirement_closure
from mpbuild.audit.audited_environment import AuditedEnvironment
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.python import pip, pip_tools
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.pip import PipPackage
from mpbuild.effects.python.uv import Uv
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.locks.python_inputs import PythonInputs
from mpbuild.resolve import python_lock

_CODE = Code.LOCK_DISAGREEMENT
_HINT = "run `mpbuild lock`; if they still disagree, constrain the package in the spec"
_CHANGED = "released files never change: find out which of the two is wrong before locking again"


class CrossCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A lock to check and its inputs; ``file`` names it in messages.

    ``view`` is the resolver's view of the indexes, ``environ`` the source of its settings.
    """

    lock: PythonLock
    wanted: PythonInputs
    view: IndexView
    file: str
    uv: Uv
    environ: Mapping[str, str]

    def found_by_pip(self) -> tuple[PipPackage, ...]:
        """The packages that pip selects; with overrides, which pip lacks, for the pins only."""
        target = python_lock.target(self.wanted)
        pins = [_pin(package, hashed=self._owned(package)) for package in self.lock.packages]
        if self.wanted.overrides:
            return pip.resolve(pins, target, self.view, self.environ, dependencies=False)
        bounds = [*pins, *map(_bound, self.wanted.constraints)]
        wanted = self.wanted.requirements
        return pip.resolve(wanted, target, self.view, self.environ, constraints=bounds)

    def found_by_pip_tools(self) -> dict[str, str]:
        """The locked versions, with hashes for packages that an index owns."""
        pins = [_pin(package, hashed=self._owned(package)) for package in self.lock.packages]
        return pip_tools.resolve(
            *(self.wanted.requirements, self.lock.python, self.view, self.uv, self.environ),
            constraints=[*pins, *map(_bound, self.wanted.constraints)],
        )

    def offers(self, package: PythonPackage) -> bool:
        """Whether pip finds the wheel by its hash."""
        target, pin = python_lock.target(self.wanted), _pin(package, hashed=True)
        try:
            (found,) = pip.resolve([pin], target, self.view, self.environ, dependencies=False)
        except InputError:
            return False
        return found.sha256 == package.wheel.sha256

    def _owned(self, package: PythonPackage) -> bool:
        """Whether to constrain the hash, since pip searches every index."""
        return package.name in self.view.owned


def check(question: CrossCheck) -> list[Finding]:
    """Yields differences between the lock and the answers of pip and pip-tools.

    Codes: lock-disagreement; content-mismatch if a file has changed; lock-unchecked if a resolver
    could not run. Raises EnvironmentFailureError (fetch-failed) if an index cannot be read.
    """
    return by_pip(question) + by_pip_tools(question)


def by_pip(question: CrossCheck) -> list[Finding]:
    """Compares with pip."""
    return _within_file(question, _pip)


def by_pip_tools(question: CrossCheck) -> list[Finding]:
    """Compares with pip-tools."""
    return _within_file(question, _pip_tools)


def _within_file(
    question: CrossCheck, compare: Callable[[CrossCheck], Iterable[Finding]]
) -> list[Finding]:
    try:
        return list(compare(question))
    except InputError as error:
        return list(error.within(question.file).findings)


def _pip(question: CrossCheck) -> Iterator[Finding]:
    found = {package.name: package for package in question.found_by_pip()}
    if question.wanted.overrides:
        yield from _closure(question, found)
    else:
        versions = {name: package.version for name, package in found.items()}
        yield from _versions("pip", question, versions)
    for package in question.lock.packages:
        other = found.get(package.name)
        if other and other.version == package.version:
            yield from _file(question, package, other)


def _pip_tools(question: CrossCheck) -> Iterator[Finding]:
    if question.wanted.overrides:
        message = "pip-tools did not check the lock: it doesn't support overrides"
        yield Finding(Code.LOCK_UNCHECKED, message, question.file, severity="note")
    else:
        yield from _versions("pip-tools", question, question.found_by_pip_tools())


def _versions(tool: str, question: CrossCheck, found: Mapping[str, str]) -> Iterator[Finding]:
    locked = {package.name: package.version for package in question.lock.packages}
    for name in sorted(locked.keys() | found.keys()):
        if name not in found:
            message = f"{tool} does not need {name} {locked[name]}, which is in the lock"
        elif name not in locked:
            message = f"{tool} needs {name} {found[name]}, which is not in the lock"
        elif found[name] != locked[name]:
            message = f"{tool} selects {name} {found[name]}; locked: {locked[name]}"
        else:
            continue
        yield Finding(_CODE, message, question.file, _HINT)


def _file(question: CrossCheck, package: PythonPackage, found: PipPackage) -> Iterator[Finding]:
    """Compares the wheel that pip selects for the locked version."""
    wheel, where = package.wheel, question.file
    if found.yanked:
        message = f"according to pip, {package.name} {package.version} was yanked from the index"
        hint = f"`mpbuild lock --upgrade={package.name}` selects another release"
        yield Finding(_CODE, message, where, hint)
    if found.filename != wheel.filename:
        yield _other_build(question, package, found)
    elif found.sha256 is None:
        message = f"the index has no sha256 for {wheel.filename}"
        yield Finding(_CODE, message, where, "use an index that provides sha256 digests")
    elif found.sha256 != wheel.sha256:
        message = f"pip finds {found.sha256} for {wheel.filename}; locked: {wheel.sha256}"
        yield Finding(Code.CONTENT_MISMATCH, message, where, _CHANGED)


def _other_build(question: CrossCheck, package: PythonPackage, found: PipPackage) -> Finding:
    message = f"pip selects {found.filename}; locked: {package.wheel.filename}"
    if question.offers(package):
        hint = f"`mpbuild lock --upgrade={package.name}` selects the wheel that fits best today"
        return Finding(_CODE, message, question.file, hint, severity="warning")
    message += ", which the index no longer has with the locked sha256"
    return Finding(_CODE, message, question.file, "run `mpbuild lock`")


def _closure(question: CrossCheck, found: Mapping[str, PipPackage]) -> Iterator[Finding]:
    """Checks the dependencies in the metadata that pip found, with overrides applied."""
    wanted = question.wanted
    subject = AuditedEnvironment(
        file=question.file,
        spec_file=question.file,
        lock=question.lock,
        facts={name: _facts(package) for name, package in found.items()},
        glibc=python_lock.target(wanted).glibc,
        requirements=wanted.requirements,
        constraints=wanted.constraints,
        overrides=wanted.overrides,
    )
    for seen in requirement_closure.check(subject):
        yield Finding(
            _CODE, f"according to pip, {seen.finding.message}", question.file, seen.finding.hint
        )


def _facts(package: PipPackage) -> WheelFacts:
    return WheelFacts(
        whole=False,
        name=package.name,
        version=package.version,
        dist_info="",
        files={},
        requires=package.requires,
        extras=package.extras,
        requires_python=package.requires_python,
    )


def _pin(package: PythonPackage, *, hashed: bool) -> str:
    """Uses ``===``, since ``==1.0`` also matches 1.0+local."""
    option = f" --hash=sha256:{package.wheel.sha256.hex}" if hashed else ""
    return f"{package.name}==={package.version}{option}"


def _bound(text: str) -> str:
    """Returns a constraint for pip: without extras, which have no effect."""
    requirement = Requirement(text)
    requirement.extras = set()
    return str(requirement)
