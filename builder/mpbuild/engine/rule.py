"""Protocols of rules and the data they receive; rule authors import mpbuild.rule_api."""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.files import WorkspaceFile
from mpbuild.engine.graph import Ref, Task


class StepData(msgspec.Struct, frozen=True, kw_only=True):
    """A declared step with every reference resolved.

    ``folder`` is the model's folder, relative to the root of the workspace. ``files`` has the
    matched inputs, ``outputs_of`` the inputs that other steps make, by their paths in the step's
    folder, and ``root`` the layers of its environment.
    """

    name: str
    folder: str
    command: tuple[str, ...]
    files: tuple[WorkspaceFile, ...]
    outputs_of: dict[str, Ref]
    outputs: tuple[str, ...]
    root: tuple[Ref, ...]
    python: str
    timeout_ms: int


class StepRule(Protocol):
    """Turns steps, by name, into tasks with the names ``step:NAME``."""

    def __call__(self, steps: Mapping[str, StepData], /) -> tuple[Task, ...]:
        """Returns the tasks, in any order."""


class EnvironmentRule(Protocol):
    """Makes a task that runs in the layers of an environment, for a Python such as "3.11"."""

    def __call__(self, name: str, python: str, root: tuple[Ref, ...], /) -> Task:
        """Returns the task; its name is ``name`` or derived from it."""


Hook = Literal["requires", "wheel"]
"""A hook of a build backend: further requirements, or a wheel (PEP 517)."""


class SourceData(msgspec.Struct, frozen=True, kw_only=True):
    """A source distribution and its build environment.

    ``source`` and ``filename`` are its digest and name. ``backend`` is ``module:object``, searched
    for in the folders of ``backend_path`` first. ``root`` has the layers of the environment, with
    the interpreter ``python`` ("3.11").
    """

    source: Digest
    filename: str
    backend: str
    backend_path: tuple[str, ...]
    root: tuple[Ref, ...]
    python: str


class SourceRule(Protocol):
    """Makes a task that runs a hook of a source distribution's backend.

    Its outputs are ``requires.json``, a list of requirements, or ``wheel`` and ``filename``.
    """

    def __call__(self, hook: Hook, data: SourceData, /) -> Task:
        """Returns the task; its name is free."""


class Rules(msgspec.Struct, frozen=True):
    """The rules of a build: steps, PEX bootstraps, and the bytecode of environments."""

    model: StepRule
    pex: EnvironmentRule
    bytecode: EnvironmentRule
