"""Tasks, which are actions with inputs from other tasks, and their acyclic graph."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.engine.action import Action, ActionResult


class Ref(msgspec.Struct, frozen=True):
    """An output of another task."""

    task: str
    output: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """An incomplete action: ``inputs`` and ``root`` come from other tasks.

    ``root`` takes the diff_ids of layers. ``timeout_ms`` is not part of the key, because it cannot
    change the outputs of a run that finishes. ``size`` is the number of bytes that it reads, if
    known: of the ready tasks, the largest starts first.
    """

    name: str
    action: Action
    inputs: dict[str, Ref] = {}
    root: tuple[Ref, ...] = ()
    timeout_ms: int | None = None
    size: int = 0

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The outputs of other tasks that it reads."""
        return (*self.inputs.values(), *self.root)

    @property
    def needs(self) -> set[str]:
        """The tasks that must run before it."""
        return {ref.task for ref in self.refs}

    def bind(self, results: Mapping[str, ActionResult]) -> Action:
        """Returns the complete action, given the results of all ``needs``."""
        inputs = {name: results[r.task].outputs[r.output].digest for name, r in self.inputs.items()}
        return msgspec.structs.replace(
            self.action,
            inputs={**self.action.inputs, **inputs},
            root=(*self.action.root, *(_diff_id(results, ref) for ref in self.root)),
        )


class Graph:
    """Tasks by name, checked at construction."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks: dict[str, Task] = {}
        for task in tasks:
            if task.name in self.tasks:
                raise InputError(f"duplicate task {task.name}")
            self.tasks[task.name] = task
        for task in self.tasks.values():
            for ref in task.refs:
                self._check(task, ref)
            for name in task.inputs.keys() & task.action.inputs.keys():
                raise InputError(f"{task.name} has two inputs at {name}")

    def _check(self, task: Task, ref: Ref) -> None:
        if ref.task not in self.tasks:
            raise InputError(f"{task.name} needs the unknown task {ref.task}")
        if ref.output not in self.tasks[ref.task].action.outputs:
            raise InputError(
                f"{task.name} needs {ref.output}, which is not an output of {ref.task}"
            )

    def sorter(self) -> TopologicalSorter[str]:
        """Returns a prepared sorter of the names; raises InputError if there is a cycle."""
        sorter = TopologicalSorter({name: task.needs for name, task in self.tasks.items()})
        try:
            sorter.prepare()
        except CycleError as error:
            raise InputError(f"the tasks form a cycle: {' → '.join(error.args[1])}") from error
        return sorter


def _diff_id(results: Mapping[str, ActionResult], ref: Ref) -> Digest:
    diff_id = results[ref.task].outputs[ref.output].diff_id
    if diff_id is None:
        raise InputError(f"{ref.output} of {ref.task} is not a layer")
    return diff_id
