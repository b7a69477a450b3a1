"""Makes the build graph of a blueprint: layers come from derive, actions that run from rules."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mpbuild.app.build.blueprint import Blueprint
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import image_layers, inputs_artifact
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.image_leaves import bytecode_leaf
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE, LayerPlan, Leaf
from mpbuild.derive.pex import PYTHON as TOOLCHAIN_PYTHON
from mpbuild.effects.installation import load_rule
from mpbuild.engine.graph import Graph, Ref, Task
from mpbuild.engine.rule import Rules, StepData
from mpbuild.package.derived_layers import layer_name, layer_task
from mpbuild.spec.model import Model, Step

_HOUR_MS = 3_600_000
PEX = "pex"


class BuildPlan(msgspec.Struct, frozen=True):
    """The graph of a build, and for each accelerator its layers with the tasks that make them.

    ``reads`` names, for each step, the task that makes the layer of the files it reads. The task
    ``pex`` makes the files that every PEX begins with.
    """

    graph: Graph
    images: dict[Accelerator, list[tuple[LayerPlan, str]]]
    reads: dict[str, str]


def plan_build(blueprint: Blueprint, accelerators: Sequence[Accelerator]) -> BuildPlan:
    """Plans the build of a package with these accelerators."""
    return _Planner(blueprint).plan(accelerators)


class _Planner:
    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._model = blueprint.model
        self._rules = _rules()
        locks = (*blueprint.locks.values(), blueprint.toolchain.locks)
        self._sizes = {file.digest: file.size for lock in locks for file in lock.files}
        self._tasks: dict[str, Task] = {}
        self._made: dict[Leaf, Ref] = {}

    def plan(self, accelerators: Sequence[Accelerator]) -> BuildPlan:
        self._steps()
        self._add(self._rules.pex(PEX, self._model.environment.python, self._toolchain()))
        if self._model.environment.compile_bytecode:
            for accelerator in accelerators:
                self._bytecode(accelerator)
        images = {accelerator: self._image(accelerator) for accelerator in accelerators}
        reads = {
            name: self._layers([inputs_artifact.step_plan(name, read)])[0][1]
            for name, read in self._blueprint.steps.items()
            if read.files
        }
        return BuildPlan(Graph(self._tasks.values()), images, reads)

    def _steps(self) -> None:
        model = self._model
        pythons = {step.environment: _python(model, step.environment) for step in model.steps}
        roots = {
            name: self._root(self._blueprint.locks[name], python)
            for name, python in pythons.items()
        }
        for step in model.steps:
            for output in step.outputs:
                leaf = Leaf("step", f"{step.name}/{output}")
                self._made[leaf] = Ref(f"step:{step.name}", output)
        steps = {step.name: self._step(step, roots, pythons) for step in model.steps}
        for task in self._rules.model(steps):
            self._add(task)

    def _step(
        self, step: Step, roots: Mapping[str, tuple[Ref, ...]], pythons: Mapping[str, str]
    ) -> StepData:
        read = self._blueprint.steps[step.name]
        return StepData(
            name=step.name,
            folder=read.folder,
            command=step.command,
            files=read.files,
            outputs_of={
                f"steps/{need.step}/{need.output}": Ref(f"step:{need.step}", need.output)
                for need in step.needs
            },
            outputs=step.outputs,
            root=roots[step.environment],
            python=pythons[step.environment],
            timeout_ms=step.timeout or _HOUR_MS,
        )

    def _toolchain(self) -> tuple[Ref, ...]:
        return self._root(self._blueprint.toolchain.locks, TOOLCHAIN_PYTHON)

    def _bytecode(self, accelerator: Accelerator) -> None:
        python = self._model.environment.python
        task = self._rules.bytecode(
            str(accelerator),
            python,
            self._root(self._blueprint.locks[accelerator], python),
        )
        self._add(task)
        leaf = bytecode_leaf(accelerator)
        self._made[leaf] = Ref(task.name, BYTECODE_FILE)

    def _image(self, accelerator: Accelerator) -> list[tuple[LayerPlan, str]]:
        blueprint = self._blueprint
        return self._layers(
            image_layers.image_layers(
                self._model, accelerator, blueprint.locks, blueprint.sources, blueprint.runtime
            )
        )

    def _root(self, locks: EnvironmentLocks, python: str) -> tuple[Ref, ...]:
        layers = self._layers(image_layers.environment_layers(locks, python))
        return tuple(Ref(name, "layer") for _, name in layers)

    def _layers(self, plans: Iterable[LayerPlan]) -> list[tuple[LayerPlan, str]]:
        named = [(layer, layer_name(layer)) for layer in plans]
        for layer, name in named:
            inputs = [one for one in layer.inputs.values() if not isinstance(one, Leaf)]
            size = sum(self._sizes.get(digest, 0) for digest in inputs)
            self._add(layer_task(name, layer, self._bind, size))
        return named

    def _bind(self, path: str, leaf: Leaf) -> Digest | Ref:
        return self._made.get(leaf) or self._blueprint.bind(path, leaf)

    def _add(self, task: Task) -> None:
        self._tasks[task.name] = task


def _python(model: Model, environment: str) -> str:
    extra = model.environments.get(environment)
    return (extra.python if extra and extra.python else None) or model.environment.python


def _rules() -> Rules:
    return Rules(**{name: load_rule(name) for name in Rules.__struct_fields__})
