"""The locks of a target: where they are, what they must answer to, and reading them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mpbuild.app.workspace import Target, read_text
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.recipe import Locks
from mpbuild.formats import deblock, pylock
from mpbuild.resolve import debian, drift, python
from mpbuild.spec.model import ExtraEnvironment, Model
from mpbuild.spec.workspace import Base


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """One environment to lock: what is resolved for it, and the files that hold the answer."""

    name: str
    base: Base
    python: python.Inputs
    debian: debian.Inputs
    root: Path
    folder: Path

    @property
    def python_file(self) -> Path:
        """The Python lock."""
        return self.folder / f"pylock.{self.name}.toml"

    @property
    def debian_file(self) -> Path:
        """The Debian lock."""
        return self.folder / f"debian.{self.name}.toml"

    def where(self, file: Path) -> str:
        """A lock as messages name it: by its path in the workspace."""
        return file.relative_to(self.root).as_posix()


class LockSet(msgspec.Struct, frozen=True):
    """The locks of all environments of a target, and their files by name."""

    locks: dict[str, Locks]
    files: dict[str, Path]


def environments(target: Target) -> list[Environment]:
    """Every environment of a target: the accelerators', then further ones."""
    return list(_environments(target))


def check(target: Target) -> list[Finding]:
    """How the locks have drifted, offline: nothing found means they answer to the spec."""
    findings: list[Finding] = []
    for environment in environments(target):
        where = environment.where(environment.python_file)
        text = _text(environment.python_file, where)
        findings += drift.check_python(text, environment.python, file=where)
        where = environment.where(environment.debian_file)
        text = _text(environment.debian_file, where)
        findings += drift.check_debian(text, environment.debian, file=where)
    return findings


def read_locks(target: Target) -> LockSet:
    """All locks; raise InputError where one is missing, malformed or has drifted."""
    findings = check(target)
    if findings:
        raise InputError.collect(findings)
    locks: dict[str, Locks] = {}
    files: dict[str, Path] = {}
    for environment in environments(target):
        python_lock, debian_lock = read_python(environment), read_debian(environment)
        assert python_lock, "checked above"
        assert debian_lock, "checked above"
        locks[environment.name] = Locks(python_lock, debian_lock)
        for path in (environment.python_file, environment.debian_file):
            files[path.name] = path
    return LockSet(locks, files)


def read_python(environment: Environment) -> pylock.PythonLock | None:
    """The environment's Python lock, None where there is none yet."""
    where = environment.where(environment.python_file)
    text = _text(environment.python_file, where)
    return None if text is None else pylock.read(text, file=where)


def read_debian(environment: Environment) -> deblock.DebianLock | None:
    """The environment's Debian lock, None where there is none yet."""
    where = environment.where(environment.debian_file)
    text = _text(environment.debian_file, where)
    return None if text is None else deblock.read(text, file=where)


def _environments(target: Target) -> Iterator[Environment]:
    model = target.model
    common = model.environment
    for accelerator, extra in model.accelerators.items():
        requirements = (*common.dependencies, *extra.dependencies)
        yield _environment(target, str(accelerator), requirements, common.system, None)
    for name, further in model.environments.items():
        yield _environment(target, name, further.dependencies, further.system, further)


def _environment(
    target: Target,
    name: str,
    requirements: tuple[str, ...],
    system: tuple[str, ...],
    further: ExtraEnvironment | None,
) -> Environment:
    model: Model = target.model
    version = (further and further.python) or model.environment.python
    base_name = (further and further.base) or model.environment.base
    base = target.workspace.settings.bases[base_name]
    return Environment(
        name=name,
        base=base,
        python=python.inputs(requirements, python=version, suite=base.suite),
        debian=debian.inputs(base.suite, base.packages, system),
        root=target.workspace.root,
        folder=target.workspace.lock_folder(target.label),
    )


def _text(path: Path, where: str) -> str | None:
    try:
        return read_text(path, where, code="lock-malformed")
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
