"""Reads the locks of a target: their paths, their resolution inputs, their checks."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mpbuild.app.workspace.workspace import Target, read_text
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.workspace.documents import DocumentReader, FreshDocuments
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.locks import debian_lock, drift, floors
from mpbuild.locks.python_inputs import PythonInputs, inputs
from mpbuild.locks.skew import skew
from mpbuild.spec.environment import AcceleratorEnvironment, ExtraEnvironment, Stack
from mpbuild.spec.workspace import Base, LinkSettings

if TYPE_CHECKING:
    from mpbuild.derive.environment_locks import EnvironmentLocks

T = TypeVar("T")

_NAMED = 3


class LockEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment to lock: its resolution inputs and its lock files.

    ``accelerator`` is its table of the spec, None for environments of steps; ``serves`` is the
    accelerator whose indexes it uses.
    """

    name: str
    accelerator: AcceleratorEnvironment | None
    serves: Accelerator = Accelerator.CPU
    base: Base
    python: PythonInputs
    debian: debian_lock.DebianInputs
    root: Path
    folder: Path

    @property
    def python_file(self) -> Path:
        """The path of the Python lock."""
        return self.folder / f"pylock.{self.name}.toml"

    @property
    def debian_file(self) -> Path:
        """The path of the Debian lock."""
        return self.folder / f"debian.{self.name}.toml"

    def concerns(self, accelerators: Collection[Accelerator]) -> bool:
        """Whether it belongs to ``accelerators``; an empty sequence means all."""
        return not accelerators or self.name in accelerators

    def where(self, file: Path) -> str:
        """Returns a lock's path relative to the workspace, for messages."""
        return file.relative_to(self.root).as_posix()


class LockSet(msgspec.Struct, frozen=True):
    """The locks of all environments of a target, and their files by name."""

    locks: "dict[str, EnvironmentLocks]"
    files: dict[str, bytes]


def environments(target: Target) -> list[LockEnvironment]:
    """Returns every environment of a target: accelerators first."""
    return list(_environments(target))


def refuse_absent(targets: Sequence[Target], accelerators: Iterable[Accelerator]) -> None:
    """Raises InputError if no target has one of ``accelerators``."""
    declared = {name for target in targets for name in target.model.accelerators}
    absent = next((one for one in accelerators if one not in declared), None)
    if absent:
        labels = ", ".join(str(target.label) for target in targets[:_NAMED])
        more = ", …" if len(targets) > _NAMED else ""
        raise InputError(
            f"no accelerator {absent} in {labels}{more}",
            hint=f"available: {', '.join(sorted(declared))}",
        )


def check(target: Target, accelerators: Collection[Accelerator] = ()) -> list[Finding]:
    """Returns the drift of the locks, offline; none means that they match the spec.

    Includes unpinned weights. With ``accelerators``, checks only their locks.
    """
    return _LockCheck(target, accelerators).findings


class _LockCheck:
    """Reads and parses each lock of a target once."""

    def __init__(self, target: Target, accelerators: Collection[Accelerator] = ()) -> None:
        self._documents = target.workspace.documents
        self.findings = drift.check_weights(target.model, target.text, file=target.file)
        self.files: dict[str, bytes] = {}
        self.python: dict[str, pylock.PythonLock] = {}
        self.debian: dict[str, deblock.DebianLock] = {}
        found = [e for e in environments(target) if e.concerns(accelerators)]
        for environment in found:
            self._read(environment)
        if not self.findings:
            self.findings += check_floors(target, found, self.python)
            self.findings += _skew(found, self.python)

    def _read(self, environment: LockEnvironment) -> None:
        name = environment.name
        where, text = self._text(environment, environment.python_file)
        python = drift.check_python(text, environment.python, environment=name, file=where)
        where, text = self._text(environment, environment.debian_file)
        debian = drift.check_debian(text, environment.debian, environment=name, file=where)
        self.findings += [*python.findings, *debian.findings]
        if python.lock and debian.lock:
            self.python[name], self.debian[name] = python.lock, debian.lock

    def _text(self, environment: LockEnvironment, file: Path) -> tuple[str, str | None]:
        where = environment.where(file)
        text = _text(self._documents, where)
        if text is not None:
            self.files[file.name] = text.encode()
        return where, text


def check_floors(
    target: Target, found: Iterable[LockEnvironment], locks: Mapping[str, pylock.PythonLock]
) -> list[Finding]:
    """Yields floors of ``locks``, by environment, that base or spec do not meet."""
    return [
        finding
        for environment in found
        for finding in floors.check(
            locks[environment.name],
            environment.python,
            environment.accelerator,
            lock_file=environment.where(environment.python_file),
            spec_file=target.file,
        )
    ]


def read_locks(target: Target) -> LockSet:
    """Returns all locks; raises InputError if one is missing, malformed or has drifted."""
    from mpbuild.derive.environment_locks import EnvironmentLocks

    checked = _LockCheck(target)
    if checked.findings:
        raise InputError.collect(checked.findings)
    locks = {
        name: EnvironmentLocks(lock, checked.debian[name]) for name, lock in checked.python.items()
    }
    return LockSet(locks, checked.files)


def read(environment: LockEnvironment) -> "EnvironmentLocks":
    """Returns the two locks of an environment, which have been checked."""
    from mpbuild.derive.environment_locks import EnvironmentLocks

    return EnvironmentLocks(_present(read_python(environment)), _present(read_debian(environment)))


def read_python(environment: LockEnvironment) -> pylock.PythonLock | None:
    """Returns the environment's Python lock; None if there is none."""
    where = environment.where(environment.python_file)
    text = _text(FreshDocuments(environment.root), where)
    return None if text is None else pylock.read(text, file=where)


def read_debian(environment: LockEnvironment) -> deblock.DebianLock | None:
    """Returns the environment's Debian lock; None if there is none."""
    where = environment.where(environment.debian_file)
    text = _text(FreshDocuments(environment.root), where)
    return None if text is None else deblock.read(text, file=where)


def debian_inputs(
    base: Base, system: Iterable[str] = (), links: Iterable[LinkSettings] = ()
) -> debian_lock.DebianInputs:
    """The inputs of a Debian lock: a base, and packages and links above it."""
    return debian_lock.inputs(
        base.suite,
        base.packages,
        system,
        security=base.security,
        snapshot=base.snapshot or "",
        base_links=base.links,
        system_links=links,
    )


def _skew(
    found: Iterable[LockEnvironment], locks: Mapping[str, pylock.PythonLock]
) -> list[Finding]:
    return skew({e.where(e.python_file): locks[e.name] for e in found if e.accelerator is not None})


def _environments(target: Target) -> Iterator[LockEnvironment]:
    model = target.model
    common = model.environment
    own = {name: model.accelerators[name] for name in Accelerator if name in model.accelerators}
    union = [*common.dependencies, *(r for extra in own.values() for r in extra.dependencies)]
    base = target.workspace.settings.bases[common.base]
    for accelerator, extra in own.items():
        yield LockEnvironment(
            name=str(accelerator),
            accelerator=extra,
            serves=accelerator,
            base=base,
            python=_python(
                target,
                common,
                (*common.dependencies, *extra.dependencies),
                python=common.python,
                suite=base.suite,
                serves=accelerator,
                union=union if len(own) > 1 else (),
            ),
            debian=debian_inputs(base, common.system, common.links),
            root=target.workspace.root,
            folder=target.workspace.lock_folder(target.label),
        )
    for name, further in model.environments.items():
        yield _further(target, name, further)


def _further(target: Target, name: str, further: ExtraEnvironment) -> LockEnvironment:
    common = target.model.environment
    base = target.workspace.settings.bases[further.base or common.base]
    return LockEnvironment(
        name=name,
        accelerator=None,
        serves=further.accelerator,
        base=base,
        python=_python(
            target,
            further,
            further.dependencies,
            python=further.python or common.python,
            suite=base.suite,
            serves=further.accelerator,
        ),
        debian=debian_inputs(base, further.system, further.links),
        root=target.workspace.root,
        folder=target.workspace.lock_folder(target.label),
    )


def _python(
    target: Target,
    own: Stack,
    requirements: Iterable[str],
    *,
    python: str,
    suite: str,
    serves: Accelerator,
    union: Iterable[str] = (),
) -> PythonInputs:
    """The requirements of workspace and environment together."""
    settings = target.workspace.settings
    overrides = (*settings.lock.overrides, *own.overrides)
    return inputs(
        requirements,
        python=python,
        suite=suite,
        constraints=(*settings.lock.constraints, *own.constraints),
        overrides=[override.requirement for override in overrides],
        union=union,
        owners={name: index.packages for name, index in settings.owning(serves).items()},
    )


def _present(lock: T | None) -> T:
    assert lock is not None, "checked before"
    return lock


def _text(documents: DocumentReader, path: str) -> str | None:
    try:
        return read_text(documents, path, code=Code.LOCK_MALFORMED)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
