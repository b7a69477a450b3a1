"""This page documents the public interface for authors of rules.

A rule decides which actions run; it never decides a derived byte. It is a function that turns data
about a target into tasks, found by its entry point in the group ``mpbuild.rules``::

    [project.entry-points."mpbuild.rules"]
    inventory = "inventory:rule"

A complete rule, which lists the packages of an environment::

    from mpbuild.rule_api import STEP_VARIABLES, Action, Ref, Task

    PROGRAM = '''
    import sys
    from importlib.metadata import distributions

    with open(sys.argv[1], "w") as file:
        for line in sorted(f"{d.name} {d.version}" for d in distributions()):
            print(line, file=file)
    '''


    def rule(name: str, python: str, root: tuple[Ref, ...], /) -> Task:
        action = Action(
            rule="inventory",
            version=1,
            executor="sandbox",
            command=("python", "-c", PROGRAM, "{out}/packages.txt"),
            environment=STEP_VARIABLES,
            parameters={"python": python},
            outputs=("packages.txt",),
        )
        return Task(name=f"inventory:{name}", action=action, root=root, timeout_ms=60_000)

The kinds of rules, each a protocol with one call. This version of mpbuild calls the four rules that
are named here, and ignores rules with other names:

- ``StepRule`` makes tasks of a model's steps, from ``StepData``: ``model``.
- ``EnvironmentRule`` makes a task of an environment: ``bytecode``, which compiles the environment's
  modules to ``BYTECODE_FILE``, and ``pex``, which runs pex under ``PEX_PYTHON`` and writes
  ``PEX_BOOTSTRAP_FILE`` and ``PEX_MAIN_FILE``.
- ``SourceRule`` makes a task of a hook (``Hook``) of a source distribution's build backend, from
  ``SourceData``: ``source``.

The data of rules:

- ``Action`` is a command with its inputs and parameters (``Parameter``). Its key is the digest of
  all its fields. It sees its inputs below ``/work``, the layers of its ``root`` as ``/``, its
  environment variables (every rule uses ``STEP_VARIABLES``) and nothing else. It writes its outputs
  to the folder that replaces ``{out}`` in its command. Raise ``version`` with every change.
- ``Task`` is an action that takes inputs, or layers of its root, from other tasks (``Ref``).
- ``WorkspaceFile`` is an input of a step: path, ``Digest``, executable bit.

Paths in an image are relative to its root: ``INTERPRETER`` and ``module_folders(python)``.
"""

from mpbuild.base.digest import Digest
from mpbuild.base.files import WorkspaceFile
from mpbuild.base.image_paths import INTERPRETER, module_folders
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE
from mpbuild.derive.pex import BOOTSTRAP_FILE as PEX_BOOTSTRAP_FILE
from mpbuild.derive.pex import MAIN_FILE as PEX_MAIN_FILE
from mpbuild.derive.pex import PYTHON as PEX_PYTHON
from mpbuild.engine.action import Action, Parameter
from mpbuild.engine.graph import Ref, Task
from mpbuild.engine.rule import EnvironmentRule, Hook, SourceData, SourceRule, StepData, StepRule
from mpbuild.engine.step_environment import VARIABLES as STEP_VARIABLES

__all__ = [
    "BYTECODE_FILE",
    "INTERPRETER",
    "PEX_BOOTSTRAP_FILE",
    "PEX_MAIN_FILE",
    "PEX_PYTHON",
    "STEP_VARIABLES",
    "Action",
    "Digest",
    "EnvironmentRule",
    "Hook",
    "Parameter",
    "Ref",
    "SourceData",
    "SourceRule",
    "StepData",
    "StepRule",
    "Task",
    "WorkspaceFile",
    "module_folders",
]
