"""The rule for models: each declared step becomes one sandboxed action. Version 1."""

import posixpath
from collections.abc import Mapping

from mpbuild.rule_api import STEP_VARIABLES, Action, StepData, Task

VERSION = 1


def rule(steps: Mapping[str, StepData], /) -> tuple[Task, ...]:
    """Returns one task for each step."""
    return tuple(_task(step) for step in steps.values())


def _task(step: StepData) -> Task:
    stage = _stage(step)
    placed = {posixpath.relpath(file.path, stage or "."): file for file in step.files}
    cwd = posixpath.relpath(step.folder or ".", stage or ".")
    action = Action(
        rule="step",
        version=VERSION,
        executor="sandbox",
        inputs={path: file.digest for path, file in placed.items()},
        executable=tuple(sorted(path for path, file in placed.items() if file.executable)),
        command=step.command,
        environment=STEP_VARIABLES,
        parameters={"cwd": cwd, "python": step.python},
        outputs=tuple(sorted(step.outputs)),
    )
    return Task(
        name=f"step:{step.name}",
        action=action,
        inputs={posixpath.normpath(posixpath.join(cwd, p)): r for p, r in step.outputs_of.items()},
        root=step.root,
        timeout_ms=step.timeout_ms,
    )


def _stage(step: StepData) -> str:
    """The deepest folder that contains the model's folder and every input.

    This is usually the model's own folder, so moving a model does not run its steps again.
    """
    folders = [step.folder, *(posixpath.dirname(file.path) for file in step.files)]
    return posixpath.commonpath([f"/{folder}" for folder in folders])[1:]
