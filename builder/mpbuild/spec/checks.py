"""Checks constraints across the tables of a model, and between a model and its workspace.

The checks run on data with blanks in place of wrong values; see place.Reading.add.
"""

from collections.abc import Iterable, Mapping

from mpbuild.base.accelerator import Accelerator
from mpbuild.spec.model import Model, Step, StepOutput
from mpbuild.spec.place import Place, nearest, shown
from mpbuild.spec.vocabulary import INTERPRETERS
from mpbuild.spec.workspace import Base, Workspace

UNPINNED = "run `mpbuild lock`, which writes sha256 and size, and the digest into an oci:// URL"


def check(model: Model, workspace: Workspace | None, at: Place) -> None:
    """Reports undefined names and cycles of steps."""
    if workspace is not None:
        _check_bases(model, workspace.bases, at)
    outputs = {step.name: step.outputs for step in model.steps}
    for index, step in enumerate(model.steps):
        _check_environment(step, model, at / "steps" / index / "environment")
        _check_inputs(step, outputs, at / "steps" / index / "inputs")
    _check_cycles(model.steps, at / "steps")
    for index, weight in enumerate(model.core.weights):
        if weight.step and weight.output:
            place = at / "core" / "weights" / index
            _check_output(weight.step, weight.output, outputs, place / "step", place / "output")


def check_pinned(model: Model, at: Place) -> None:
    """Reports fetched weights without a pin."""
    for index, weight in enumerate(model.core.weights):
        if not weight.pinned:
            place = at / "core" / "weights" / index
            place.wrong(f"the fetched weights {shown(weight.name)} are not pinned", hint=UNPINNED)


def _check_bases(model: Model, bases: Mapping[str, Base], at: Place) -> None:
    main = model.environment
    place = at / "environment"
    _check_base(main.base, bases, place / "base")
    _check_python(main.python, bases.get(main.base), place / "python")
    for name, extra in model.environments.items():
        place = at / "environments" / name
        if extra.base is not None:
            _check_base(extra.base, bases, place / "base")
        if extra.base is not None or extra.python is not None:
            base = bases.get(extra.base or main.base)
            key = "base" if extra.python is None else "python"
            _check_python(extra.python or main.python, base, place / key)


def _check_base(name: str, bases: Mapping[str, Base], at: Place) -> None:
    if name and name not in bases:
        at.wrong(
            f"no base {shown(name)} in mpbuild.toml",
            hint=nearest(name, bases) or f"declare it there as [bases.{name}]",
        )


def _check_python(python: str, base: Base | None, at: Place) -> None:
    if python and base and python != base.suite.python:
        at.wrong(
            f"the base's suite {base.suite} has Python {base.suite.python}, not {python}",
            hint=INTERPRETERS,
        )


def _check_environment(step: Step, model: Model, at: Place) -> None:
    name = step.environment
    if name in model.environments:
        return
    if name in list(Accelerator):
        hint = "a step runs in an environment of [environments], not in an accelerator's"
    else:
        hint = nearest(name, model.environments) or f"declare it as [environments.{name}]"
    at.wrong(f"no environment {shown(name)}", hint=hint)


def _check_inputs(step: Step, outputs: Mapping[str, tuple[str, ...]], at: Place) -> None:
    for index, text in enumerate(step.inputs):
        need = StepOutput.parse(text)
        if need and need.step == step.name:
            (at / index).wrong("a step can't read its own output")
        elif need:
            _check_output(need.step, need.output, outputs, at / index, at / index)


def _check_output(
    step: str, output: str, outputs: Mapping[str, tuple[str, ...]], at_step: Place, at_output: Place
) -> None:
    """Skips names if one of them is a blank, which may be the missing one."""
    if step not in outputs:
        if "" not in outputs:
            at_step.wrong(f"no step {shown(step)}", hint=nearest(step, outputs))
    elif outputs[step] and not {output, ""} & set(outputs[step]):
        at_output.wrong(
            f"the step {shown(step)} has no output {shown(output)}",
            hint=nearest(output, outputs[step]) or f"its outputs are {', '.join(outputs[step])}",
        )


def _check_cycles(steps: Iterable[Step], at: Place) -> None:
    index = {step.name: i for i, step in enumerate(steps)}
    graph = {
        step.name: [n.step for n in step.needs if n.step in index and n.step != step.name]
        for step in steps
    }
    while cycle := _cycle(graph):
        (at / index[cycle[-1]] / "inputs").wrong(
            f"the steps form a cycle: {' needs '.join(reversed(cycle))}"
        )
        graph = {name: needs for name, needs in graph.items() if name not in cycle}


def _cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns a cycle of names, with the first repeated at the end."""
    if not any(graph.values()):
        return []
    import graphlib

    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []
