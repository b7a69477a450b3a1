"""The rule for models: every declared step becomes one sandboxed action. Version 1."""

import posixpath
from collections.abc import Mapping

from mpbuild.engine.action import Action
from mpbuild.engine.graph import Task
from mpbuild.engine.rule import StepData
from mpbuild_rules.environment import ENVIRONMENT

VERSION = 1


def rule(steps: Mapping[str, StepData], /) -> tuple[Task, ...]:
    """One task a step."""
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
        environment=ENVIRONMENT,
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
    """The deepest folder that holds the model's folder and every input.

    Usually the model's own folder, so that moving a model doesn't run its steps again.
    """
    folders = [step.folder, *(posixpath.dirname(file.path) for file in step.files)]
    return posixpath.commonpath([f"/{folder}" for folder in folders])[1:]
