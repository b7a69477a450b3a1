"""An action's key covers all of its fields; a graph that cannot run is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base import canonical
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.engine.action import Action, ActionResult, Output
from mpbuild.engine.graph import Graph, Ref, Task

NAMES = st.text("abc/.", min_size=1, max_size=4)
DIGESTS = st.binary(max_size=1).map(Digest.of)
PARAMETERS = (
    st.text("ab", max_size=2)
    | st.integers(0, 3)
    | st.booleans()
    | st.lists(st.text("ab", max_size=2), max_size=2).map(tuple)
    | st.dictionaries(NAMES, st.text("ab", max_size=2), max_size=2)
)
ACTIONS = st.builds(
    Action,
    rule=st.sampled_from(["wheel-layer", "step"]),
    version=st.integers(1, 2),
    executor=st.sampled_from(["derive", "sandbox"]),
    inputs=st.dictionaries(NAMES, DIGESTS, max_size=3),
    executable=st.lists(NAMES, max_size=2).map(tuple),
    root=st.lists(DIGESTS, max_size=2).map(tuple),
    command=st.lists(NAMES, max_size=2).map(tuple),
    environment=st.dictionaries(NAMES, NAMES, max_size=2),
    parameters=st.dictionaries(NAMES, PARAMETERS, max_size=2),
    outputs=st.lists(NAMES, max_size=2).map(tuple),
    tools=st.dictionaries(NAMES, NAMES, max_size=2),
    platform=st.sampled_from(["linux/amd64", "linux/arm64"]),
)


@given(ACTIONS, ACTIONS, st.sampled_from([f.name for f in msgspec.structs.fields(Action)]))
def test_the_key_changes_exactly_when_a_field_does(action, other, field):
    value = getattr(other, field)
    changed = msgspec.structs.replace(action, **{field: value})
    equal = canonical.encode(plain(value)) == canonical.encode(plain(getattr(action, field)))
    assert (changed.key == action.key) is equal


@given(ACTIONS)
def test_the_key_does_not_depend_on_the_order_in_which_dicts_were_filled(action):
    turned = {
        name: dict(reversed(value.items()))
        for name in ("inputs", "environment", "parameters", "tools")
        if (value := getattr(action, name))
    }
    assert msgspec.structs.replace(action, **turned).key == action.key


@given(ACTIONS)
def test_an_action_comes_back_from_its_canonical_text_with_the_same_key(action):
    text = canonical.encode(plain(action))
    back = typed(canonical.decode(text), Action)
    assert back.key == action.key == Digest.of(text)
    assert back == action


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), ("1", 1), (("a",), "a"), ((), {})]
)
def test_values_that_python_takes_for_equal_make_different_keys(one, other):
    base = Action(rule="r", version=1, executor="derive")
    keys = [msgspec.structs.replace(base, parameters={"p": v}).key for v in (one, other)]
    assert keys[0] != keys[1]


def test_the_key_of_one_action_is_fixed():
    """The form of a key is an interface, because caches are shared."""
    action = Action(
        rule="wheel-layer",
        version=1,
        executor="derive",
        inputs={"demo-1.0-py3-none-any.whl": Digest.of(b"")},
        parameters={"python": "3.11"},
        outputs=("layer", "needs"),
        tools={"codec": "deflate-0.9.0 level 6"},
    )
    assert canonical.encode(plain(action)).decode() == (
        '{"command":[],"environment":{},"executable":[],"executor":"derive","inputs":'
        '{"demo-1.0-py3-none-any.whl":"sha256:'
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"outputs":'
        '["layer","needs"],"parameters":{"python":"3.11"},"platform":"linux/amd64","root":[],'
        '"rule":"wheel-layer","tools":{"codec":"deflate-0.9.0 level 6"},"version":1}'
    )


def test_nothing_about_the_run_itself_is_in_the_key():
    action = Action(rule="r", version=1, executor="sandbox")
    one, other = (Task(name="t", action=action, timeout_ms=t).bind({}) for t in (1, None))
    assert one.key == other.key


def test_a_task_is_bound_to_digests_and_its_root_to_diff_ids(lab):
    layer, blob = Digest.of(b"plain"), Digest.of(b"blob")
    action = Action(
        rule="r", version=1, executor="sandbox", inputs={"own": Digest.of(b"o")}, root=(layer,)
    )
    task = Task(name="t", action=action, inputs={"i": Ref("a", "x")}, root=(Ref("a", "layer"),))
    outputs = {"x": Output(Digest.of(b"x"), 1), "layer": Output(blob, 2, Digest.of(b"other"))}
    bound = task.bind({"a": ActionResult(outputs, sandboxed=True)})
    assert bound.inputs == {"own": Digest.of(b"o"), "i": Digest.of(b"x")}
    assert bound.root == (layer, Digest.of(b"other"))


def test_a_root_of_what_is_no_layer_is_refused(lab):
    tasks = [lab.task("a"), Task(name="b", action=lab.task("b").action, root=(Ref("a", "out"),))]
    with pytest.raises(InputError, match="out of a is not a layer"):
        lab.engine(lab.PureExecutor()).run(Graph(tasks))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([("a", ()), ("a", ())], "duplicate task a"),
        ([("a", ("b",))], "a needs the unknown task b"),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(lab, tasks, message):
    with pytest.raises(InputError, match=message):
        Graph([lab.task(name, needs) for name, needs in tasks])


def test_an_undeclared_output_is_refused(lab):
    with pytest.raises(InputError, match="b needs out, which is not an output of a"):
        Graph([lab.task("a", outputs=("other",)), lab.task("b", ["a"])])


def test_a_file_and_an_output_at_one_path_are_refused(lab):
    clash = lab.task("b", ["a"])
    action = msgspec.structs.replace(clash.action, inputs={"from-a": Digest.of(b"")})
    with pytest.raises(InputError, match="b has two inputs at from-a"):
        Graph([lab.task("a"), msgspec.structs.replace(clash, action=action)])


@pytest.mark.parametrize("ring", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_tasks_that_need_each_other_are_refused_and_named(lab, ring):
    tasks = [lab.task(name, [ring[i - 1]]) for i, name in enumerate(ring)]
    executor = lab.PureExecutor()
    with pytest.raises(InputError, match="the tasks form a cycle: ") as caught:
        lab.engine(executor).run(Graph([*tasks, lab.task("z")]))
    assert all(name in str(caught.value) for name in ring)
    assert not executor.ran
