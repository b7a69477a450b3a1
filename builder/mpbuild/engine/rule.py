"""The public interface of rules: from what a target declares to the tasks that must run.

A rule is a function under the entry point group ``mpbuild.rules``. It decides what runs, never
what a derived byte is.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.files import WorkspaceFile
from mpbuild.engine.graph import Ref, Task


class StepData(msgspec.Struct, frozen=True, kw_only=True):
    """One declared step with everything resolved: what a rule turns into a task.

    ``folder`` is the model's folder from the workspace's root; ``files`` are the matched inputs,
    ``outputs_of`` the inputs that other steps make (path in the step's folder to output), and
    ``root`` the layers of its environment.
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
    """Steps by name to tasks; task names are ``step:NAME``."""

    def __call__(self, steps: Mapping[str, StepData], /) -> tuple[Task, ...]:
        """The tasks, in any order."""


class EnvironmentRule(Protocol):
    """A task about the environment ``name``, for an interpreter ("3.11"), in layers it needs."""

    def __call__(self, name: str, python: str, root: tuple[Ref, ...], /) -> Task:
        """The task; its name is the caller's, or made of it."""


Hook = Literal["requires", "wheel"]
"""What a build backend is asked for: further requirements, or a wheel (PEP 517)."""


class SourceData(msgspec.Struct, frozen=True, kw_only=True):
    """A source distribution, and what builds it.

    ``source`` are its bytes and ``filename`` their name; ``backend`` is ``module:object``, for
    which the folders of ``backend_path`` are looked in first. ``root`` are the layers of the
    environment to build in, with the interpreter ``python`` ("3.11").
    """

    source: Digest
    filename: str
    backend: str
    backend_path: tuple[str, ...]
    root: tuple[Ref, ...]
    python: str


class SourceRule(Protocol):
    """A hook of a source distribution's backend to a task.

    Its outputs are ``requires.json``, a list of requirements, or ``wheel`` and ``filename``.
    """

    def __call__(self, hook: Hook, data: SourceData, /) -> Task:
        """The task, under any name."""


class Rules(msgspec.Struct, frozen=True):
    """What runs for a model: its steps, what a PEX begins with, the bytecode of an environment."""

    model: StepRule
    pex: EnvironmentRule
    bytecode: EnvironmentRule
