"""Runs the ready tasks of a graph on a fixed number of threads, each key at most once."""

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import MpbuildError
from mpbuild.engine.action import Action, ActionResult
from mpbuild.engine.graph import Graph, Task
from mpbuild.engine.protocols import Clock, Executor, ResultCache, TaskObserver


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A completed task, as the build record describes it."""

    name: str
    action: Action
    key: Digest
    result: ActionResult
    cached: bool
    started: float
    finished: float


class Scheduler:
    """Completes graphs with executors by kind, a result cache and a clock."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        results: ResultCache,
        clock: Clock,
        observer: TaskObserver,
        jobs: int,
    ) -> None:
        self._executors = executors
        self._results = results
        self._clock = clock
        self._observer = observer
        self._jobs = jobs
        self._keys: dict[Digest, Lock] = {}
        self._keys_lock = Lock()

    def run(self, graph: Graph) -> dict[str, TaskOutcome]:
        """Completes every task of ``graph`` and returns the outcomes by name.

        After a failure no task starts. Running tasks are awaited, and the failure that is first by
        name is raised, so that the message does not depend on timing.
        """
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="mpbuild")
        try:
            return self._drain(graph, pool)
        finally:
            # Does not wait after an interruption: the sandbox dies with this process.
            pool.shutdown(wait=False, cancel_futures=True)

    def _drain(self, graph: Graph, pool: ThreadPoolExecutor) -> dict[str, TaskOutcome]:
        sorter = graph.sorter()
        done: dict[str, TaskOutcome] = {}
        failures: dict[str, BaseException] = {}
        running: dict[Future[TaskOutcome], str] = {}
        while sorter.is_active():
            ready = () if failures else sorter.get_ready()
            for name in sorted(ready, key=lambda name: (-graph.tasks[name].size, name)):
                results = {needed: done[needed].result for needed in graph.tasks[name].needs}
                running[pool.submit(self._complete, graph.tasks[name], results)] = name
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                name = running.pop(future)
                error = future.exception()
                if error is not None:
                    failures[name] = error
                else:
                    done[name] = future.result()
                    sorter.done(name)
            if failures:
                # Tasks that still wait for a thread must not start.
                running = {f: name for f, name in running.items() if not f.cancel()}
        if failures:
            raise _combined(failures)
        return done

    def _complete(self, task: Task, results: Mapping[str, ActionResult]) -> TaskOutcome:
        action = task.bind(results)
        key = action.key
        executor = self._executors[action.executor]
        started = self._clock.now()
        with self._lock(key):
            result = self._results.find(key)
            cached = result is not None and _is_valid(result, action, executor)
            if result is None or not cached:
                self._observer.started(task.name)
                try:
                    result = executor.run(action, task.timeout_ms)
                except MpbuildError as error:
                    raise error.within(task.name) from error
                self._results.remember(action, result)
        self._observer.finished(task.name, cached=cached)
        return TaskOutcome(
            name=task.name,
            action=action,
            key=key,
            result=result,
            cached=cached,
            started=started,
            finished=self._clock.now(),
        )

    def _lock(self, key: Digest) -> Lock:
        """Serializes tasks with the same key, such as a base in two environments."""
        with self._keys_lock:
            return self._keys.setdefault(key, Lock())


def _is_valid(result: ActionResult, action: Action, executor: Executor) -> bool:
    """A build with a sandbox does not accept a result that was made without one."""
    complete = result.outputs.keys() == set(action.outputs)
    return complete and (result.sandboxed or not executor.sandboxed)


def _combined(failures: Mapping[str, BaseException]) -> BaseException:
    errors = [failures[name] for name in sorted(failures)]
    first = errors[0]
    known = [error for error in errors if isinstance(error, type(first))]
    if isinstance(first, MpbuildError):
        findings = [f for error in known if isinstance(error, MpbuildError) for f in error.findings]
        return type(first).collect(findings)
    return first
