"""The laws of running a graph, for every number of threads and every order of tasks."""

import threading
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import AnswerError, EnvironmentFailureError, InputError
from mpbuild.engine.action import ActionResult


@st.composite
def dags(draw):
    """Names with the earlier names that each needs, and salts by which some share a key."""
    count = draw(st.integers(0, 9))
    names = [f"t{i}" for i in range(count)]
    return [
        (
            name,
            draw(st.sets(st.sampled_from(names[:i]))) if i else set(),
            draw(st.sampled_from("ab")),
        )
        for i, name in enumerate(names)
    ]


LAW = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def graph_of(lab, dag, *, salted):
    return lab.Graph(
        [lab.task(name, sorted(needs), salt=salt if salted else "") for name, needs, salt in dag]
    )


@LAW
@given(dag=dags(), jobs=st.integers(1, 5), data=st.data())
def test_what_comes_out_is_the_same_for_any_number_of_jobs_and_any_order(lab, dag, jobs, data):
    one = lab.engine(lab.PureExecutor(), jobs=1).run(graph_of(lab, dag, salted=False))
    shuffled = data.draw(st.permutations(dag))
    other = lab.engine(lab.PureExecutor(), jobs=jobs).run(graph_of(lab, shuffled, salted=False))
    assert {n: (d.key, d.result) for n, d in one.items()} == {
        n: (d.key, d.result) for n, d in other.items()
    }
    assert set(one) == {name for name, _, _ in dag}


@LAW
@given(dag=dags(), jobs=st.integers(1, 5))
def test_a_key_runs_at_most_once_even_where_tasks_share_it(lab, dag, jobs):
    executor = lab.PureExecutor()
    done = lab.engine(executor, jobs=jobs).run(graph_of(lab, dag, salted=True))
    assert executor.ran == dict.fromkeys({d.key for d in done.values()}, 1)
    assert sum(not d.cached for d in done.values()) == len(executor.ran)


@LAW
@given(dag=dags(), jobs=st.integers(1, 5))
def test_what_was_run_once_is_never_run_again(lab, dag, jobs):
    results, executor = lab.Results(), lab.PureExecutor()
    first = lab.engine(lab.PureExecutor(), results, jobs=jobs).run(graph_of(lab, dag, salted=True))
    second = lab.engine(executor, results, jobs=jobs).run(graph_of(lab, dag, salted=True))
    assert not executor.ran
    assert all(d.cached for d in second.values())
    assert {n: d.result for n, d in first.items()} == {n: d.result for n, d in second.items()}


@LAW
@given(dag=dags(), jobs=st.integers(1, 5))
def test_a_task_sees_what_it_needs_and_comes_after_it(lab, dag, jobs):
    done = lab.engine(lab.PureExecutor(), jobs=jobs).run(graph_of(lab, dag, salted=False))
    for name, needs, _ in dag:
        seen = done[name].action.inputs
        assert seen == {f"from-{n}": done[n].result.outputs["out"].digest for n in needs}
        assert all(done[n].finished < done[name].started for n in needs)


def test_an_empty_graph_is_done_at_once(lab):
    assert lab.engine(lab.PureExecutor()).run(lab.Graph([])) == {}


def test_tasks_of_one_key_wait_for_each_other(lab):
    """Both are ready at once, with a thread for each."""
    executor = lab.PureExecutor(before=lambda _: time.sleep(0.05))
    tasks = [lab.task(name, salt="same") for name in ("a", "b", "c")]
    done = lab.engine(executor, jobs=3).run(lab.Graph(tasks))
    assert sum(executor.ran.values()) == 1
    assert sorted(d.cached for d in done.values()) == [False, True, True]


def test_independent_tasks_run_at_the_same_time(lab):
    together = threading.Barrier(3, timeout=10)
    executor = lab.PureExecutor(before=lambda _: together.wait())
    lab.engine(executor, jobs=3).run(lab.Graph([lab.task(name) for name in "abc"]))
    assert not together.broken


def test_never_more_run_than_there_are_jobs(lab):
    running, most, lock = 0, 0, threading.Lock()

    def count(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    lab.engine(lab.PureExecutor(before=count), jobs=2).run(
        lab.Graph([lab.task(f"t{i}") for i in range(12)])
    )
    assert most <= 2


@pytest.mark.parametrize(
    ("kept", "wanted", "runs"),
    [(False, True, True), (False, False, False), (True, True, False), (True, False, False)],
)
def test_a_result_made_without_a_sandbox_answers_only_for_a_build_without(lab, kept, wanted, runs):
    results, executor = lab.Results(), lab.PureExecutor(sandboxed=wanted)
    graph = lab.Graph([lab.task("step", executor="sandbox")])
    lab.engine(lab.PureExecutor(sandboxed=kept), results).run(graph)
    done = lab.engine(executor, results).run(graph)["step"]
    assert bool(executor.ran) is runs
    assert done.cached is not runs
    assert done.result.sandboxed is (kept or wanted)


def test_a_kept_result_without_a_declared_output_does_not_answer(lab):
    results, executor = lab.Results(), lab.PureExecutor()
    task = lab.task("a")
    results.remember(task.action, ActionResult({}, sandboxed=True))
    done = lab.engine(executor, results).run(lab.Graph([task, lab.task("b", ["a"])]))
    assert done["a"].result.outputs.keys() == {"out"}
    assert sum(executor.ran.values()) == 2


def test_after_a_failure_nothing_new_starts(lab):
    """Neither tasks that need the failed one, nor ready tasks that waited for a thread."""
    slowly = lambda action: time.sleep(0 if action.rule == "a" else 0.02)  # noqa: E731
    executor = lab.PureExecutor(faults={"a": InputError("broken")}, before=slowly)
    tasks = [lab.task("a"), lab.task("after", ["a"]), *(lab.task(f"z{i}") for i in range(30))]
    watch = lab.Watch()
    with pytest.raises(InputError, match="broken"):
        lab.engine(executor, jobs=1, watch=watch).run(lab.Graph(tasks))
    # The thread may continue until the scheduler notices the failure.
    assert watch.started_names[0] == "a"
    assert "after" not in watch.started_names
    assert len(watch.started_names) < 15


def test_what_runs_when_something_fails_is_waited_for_and_kept(lab):
    together = threading.Barrier(2, timeout=10)

    def before(action):
        together.wait()
        time.sleep(0.05 if action.rule == "slow" else 0)

    results = lab.Results()
    executor = lab.PureExecutor(faults={"a": InputError("broken")}, before=before)
    slow = lab.task("slow")
    with pytest.raises(InputError, match="broken"):
        lab.engine(executor, results, jobs=2).run(lab.Graph([lab.task("a"), slow]))
    assert set(results.kept) == {slow.action.key}


@pytest.mark.parametrize("repeat", range(3))
def test_the_first_failure_by_name_is_raised_whatever_failed_first(lab, repeat):
    together = threading.Barrier(3, timeout=10)

    def before(action):
        together.wait()
        time.sleep({"a": 0.02, "b": 0.01, "c": 0}[action.rule])

    faults = {
        "a": AnswerError("one"),
        "b": EnvironmentFailureError("two"),
        "c": AnswerError("three"),
    }
    executor = lab.PureExecutor(faults=faults, before=before)
    with pytest.raises(AnswerError) as caught:
        lab.engine(executor, jobs=3).run(lab.Graph([lab.task(name) for name in "cab"]))
    assert [finding.message for finding in caught.value.findings] == ["one", "three"]


def test_a_failure_is_never_kept(lab):
    results, graph = lab.Results(), lab.Graph([lab.task("a")])
    with pytest.raises(InputError):
        lab.engine(lab.PureExecutor(faults={"a": InputError("broken")}), results).run(graph)
    assert results.kept == {}
    assert lab.engine(lab.PureExecutor(), results).run(graph)["a"].cached is False


def test_a_fault_of_ours_comes_out_as_it_is(lab):
    with pytest.raises(ZeroDivisionError):
        lab.engine(lab.PureExecutor(faults={"a": ZeroDivisionError()})).run(
            lab.Graph([lab.task("a")])
        )


def test_an_observer_receives_what_ran_and_what_did_not(lab):
    results, watch = lab.Results(), lab.Watch()
    lab.engine(lab.PureExecutor(), results).run(lab.Graph([lab.task("a")]))
    graph = lab.Graph([lab.task("a"), lab.task("b", ["a"])])
    lab.engine(lab.PureExecutor(), results, watch=watch).run(graph)
    assert watch.started_names == ["b"]
    assert watch.finished_names == {"a": True, "b": False}


def test_of_the_tasks_that_are_ready_the_largest_begins_first(lab):
    begun = []
    executor = lab.PureExecutor(before=lambda action: begun.append(action.rule))
    tasks = [
        msgspec.structs.replace(lab.task(name), size=size)
        for name, size in (("a", 1), ("b", 30), ("c", 20), ("d", 30))
    ]
    lab.engine(executor, jobs=1).run(lab.Graph(tasks))
    assert begun == ["b", "d", "c", "a"]
