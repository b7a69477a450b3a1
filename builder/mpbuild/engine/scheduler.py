"""Run a graph: whatever is ready, on a fixed number of threads, each key at most once."""

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import MpbuildError
from mpbuild.engine.action import Action, Result
from mpbuild.engine.graph import Graph, Task
from mpbuild.engine.protocols import Clock, Executor, Observer, Results


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One finished task: what the record says of it."""

    name: str
    action: Action
    key: Digest
    result: Result
    cached: bool
    started: float
    finished: float


class Engine:
    """Executors by kind, a result cache and a clock, all handed in."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        results: Results,
        clock: Clock,
        observer: Observer,
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
        """Every task of ``graph``, done, by name.

        After a failure nothing new starts; what runs is waited for, and the first failure by
        name is raised, so that the same fault gives the same message whatever finished first.
        """
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="mpbuild")
        try:
            return self._drain(graph, pool)
        finally:
            # After an interruption nobody waits: the sandbox dies with this process.
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
                # What waits for a thread must not begin any more.
                running = {f: name for f, name in running.items() if not f.cancel()}
        if failures:
            raise _combined(failures)
        return done

    def _complete(self, task: Task, results: Mapping[str, Result]) -> TaskOutcome:
        action = task.bind(results)
        key = action.key
        executor = self._executors[action.executor]
        started = self._clock.now()
        with self._lock(key):
            result = self._results.find(key)
            cached = result is not None and _answers(result, action, executor)
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
        """Two tasks of one key (a base in two environments) wait for each other."""
        with self._keys_lock:
            return self._keys.setdefault(key, Lock())


def _answers(result: Result, action: Action, executor: Executor) -> bool:
    """A result made without a sandbox never answers for a build with one."""
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
