"""A scheduler in memory: executors, a result cache and a clock that honour the protocols."""

import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from mpbuild.base.digest import Digest
from mpbuild.engine.action import Action, ActionResult, Output
from mpbuild.engine.graph import Graph, Ref, Task
from mpbuild.engine.scheduler import Scheduler


class MemoryResults:
    """A result cache in memory."""

    def __init__(self):
        self.kept = {}
        self._lock = threading.Lock()

    def find(self, key):
        with self._lock:
            return self.kept.get(key)

    def remember(self, action, result):
        with self._lock:
            self.kept[action.key] = result


class PureExecutor:
    """Outputs are digests of the action's key and their names; ``faults`` maps a rule to an error.

    ``before`` is called with each action, from the engine's own thread.
    """

    def __init__(self, *, sandboxed=True, faults=None, before=None):
        self.sandboxed = sandboxed
        self.ran = Counter()
        self._faults = faults or {}
        self._before = before
        self._lock = threading.Lock()

    def run(self, action, timeout_ms):
        with self._lock:
            self.ran[action.key] += 1
        if self._before:
            self._before(action)
        if action.rule in self._faults:
            raise self._faults[action.rule]
        outputs = {}
        for name in action.outputs:
            data = f"{action.key} {name}".encode()
            diff_id = Digest.of(b"plain " + data) if name == "layer" else None
            outputs[name] = Output(Digest.of(data), len(data), diff_id)
        return ActionResult(outputs, self.sandboxed)


class Ticks:
    """A clock that advances by one with every call."""

    def __init__(self):
        self._lock = threading.Lock()
        self._now = 0

    def now(self):
        with self._lock:
            self._now += 1
            return float(self._now)


class Watch:
    """An observer that records all events."""

    def __init__(self):
        self.started_names = []
        self.finished_names = {}

    def started(self, name):
        self.started_names.append(name)

    def finished(self, name, *, cached):
        self.finished_names[name] = cached


def task(name, needs=(), *, executor="derive", outputs=("out",), salt="", root=()):
    """A task whose inputs are the outputs of ``needs``; its rule is its name unless salted."""
    return Task(
        name=name,
        action=Action(rule=salt or name, version=1, executor=executor, outputs=outputs),
        inputs={f"from-{need}": Ref(need, "out") for need in needs},
        root=tuple(Ref(need, "layer") for need in root),
    )


def engine(executor, results=None, *, jobs=2, watch=None, **others):
    """A scheduler with ``executor`` for all kinds except those in ``others``."""
    executors = {"derive": executor, "sandbox": executor, **others}
    results = MemoryResults() if results is None else results
    return Scheduler(executors, results, Ticks(), watch or Watch(), jobs)


@pytest.fixture
def lab():
    """The parts of an experiment with the scheduler."""
    return SimpleNamespace(
        Graph=Graph,
        PureExecutor=PureExecutor,
        Results=MemoryResults,
        Watch=Watch,
        engine=engine,
        task=task,
    )
