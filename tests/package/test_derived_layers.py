"""Layers as actions: derived, streamed again, unpacked; the content of the store is not trusted."""

import gc
import resource
import threading
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.layers import derive_layer
from mpbuild.derive.layers.layer_plan import FILES, STORED, LayerPlan, Leaf
from mpbuild.effects.store.store import Store
from mpbuild.engine.graph import Ref
from mpbuild.package.derived_layers import LayerDeriver, layer_task

LARGE = bytes(range(256)) * (12 << 10)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def remembered(store, files, rule=FILES):
    """Derives a layer of ``files`` and stores the result, as a build does."""
    plan = LayerPlan(
        rule=rule,
        title="",
        inputs={path: store.put_bytes(data) for path, data in files.items()},
        executable=tuple(path for path in files if path.endswith("tool")),
    )
    action = layer_task("layer", plan, {}).action
    result = LayerDeriver(store).run(action)
    store.remember(action, result)
    return action, result.outputs["layer"]


def damage(store, digest):
    path = store.blob(digest)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def descriptors():
    """The number of open descriptors, after collecting leftovers of earlier tests."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_plan_becomes_an_action_and_its_leaves_inputs():
    source, step = Leaf("source", "a.py"), Leaf("step", "train/out")
    digest = Digest.of(b"a")
    plan = LayerPlan(
        rule=FILES,
        title="code",
        inputs={"a": source, "b": step, "c": Digest.of(b"c")},
        executable=("a",),
        parameters={"python": "3.11"},
    )
    known = {source: digest, step: Ref("step:train", "out")}
    task = layer_task("name", plan, lambda _, leaf: known[leaf])
    assert task.name == "name"
    assert task.action.inputs == {"a": digest, "c": Digest.of(b"c")}
    assert task.inputs == {"b": Ref("step:train", "out")}
    assert task.action.executor == "derive"
    assert task.action.outputs == ("layer", "needs")
    assert task.action.tools == {"codec": plan.codec}
    assert task.action.parameters == {"python": "3.11"}


def test_titles_are_no_part_of_an_action():
    plans = [LayerPlan(rule=FILES, title=title, inputs={}) for title in ("one", "two")]
    assert len({layer_task("x", plan, {}).action.key for plan in plans}) == 1


@pytest.mark.parametrize("rule", [FILES, STORED])
def test_what_was_derived_is_streamed_again_with_the_same_digest(store, rule):
    _, layer = remembered(store, {"a": b"content", "b/tool": LARGE}, rule)
    assert not store.has(layer.digest)
    data = b"".join(LayerDeriver(store).blob(layer.digest))
    assert (Digest.of(data), len(data)) == (layer.digest, layer.size)


def test_a_blob_that_is_there_is_given_as_it_is(store):
    digest = store.put_bytes(LARGE)
    assert b"".join(LayerDeriver(store).blob(digest)) == LARGE


def test_a_blob_without_bytes_or_derivation_is_reported(store):
    with pytest.raises(InputError, match="nor an action that derives it") as caught:
        list(LayerDeriver(store).blob(Digest.of(b"none")))
    assert caught.value.findings[0].hint == "build the target again"


@pytest.mark.parametrize("content", [b"content", LARGE])
def test_deriving_from_a_damaged_input_is_refused(store, content):
    """Its result is not compared with anything later."""
    plan = LayerPlan(rule=FILES, title="", inputs={"a": store.put_bytes(content)})
    damage(store, Digest.of(content))
    with pytest.raises(InputError, match="the store is corrupt: content does not match") as caught:
        LayerDeriver(store).run(layer_task("layer", plan, {}).action)
    assert caught.value.findings[0].code == "content-mismatch"
    assert caught.value.findings[0].where == "a"


def test_a_blob_or_tree_of_a_damaged_input_is_never_complete(store):
    action, layer = remembered(store, {"a": b"content"})
    damage(store, action.inputs["a"])
    with pytest.raises(InputError, match="the store is corrupt"):
        list(LayerDeriver(store).blob(layer.digest))
    with pytest.raises(InputError, match="the store is corrupt"):
        LayerDeriver(store).tree(layer.diff_id)
    assert not store.tree(layer.diff_id).exists()
    assert [p for p in (store.path / "scratch").iterdir() if p.suffix != ".lock"] == []


def test_a_damaged_blob_is_not_complete_either(store):
    digest = store.put_bytes(LARGE)
    damage(store, digest)
    with pytest.raises(InputError, match="the store is corrupt") as caught:
        list(LayerDeriver(store).blob(digest))
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_derivation_that_leads_to_something_else_is_refused(store):
    """Another user may have written to the store."""
    _, layer = remembered(store, {"a": b"content"})
    _, other = remembered(store, {"a": b"other"})
    derived = store.path / "derived"
    (derived / other.digest.hex).unlink()
    (derived / layer.digest.hex).rename(derived / other.digest.hex)
    with pytest.raises(InputError, match="the store is corrupt"):
        list(LayerDeriver(store).blob(other.digest))


def test_a_tree_is_unpacked_once(store):
    _, layer = remembered(store, {"a": b"content", "b/tool": b"#!"})
    derivation = LayerDeriver(store)
    derivation.tree(layer.diff_id)
    tree = store.tree(layer.diff_id)
    assert (tree / "a").read_bytes() == b"content"
    assert (tree / "b/tool").stat().st_mode & 0o777 == 0o755
    inode = tree.stat().st_ino
    derivation.tree(layer.diff_id)
    assert store.tree(layer.diff_id).stat().st_ino == inode


def test_concurrent_threads_get_the_same_tree(store):
    _, layer = remembered(store, {f"f{i}": b"x" * i for i in range(200)})
    start, failures = threading.Barrier(4, timeout=10), []

    def want():
        start.wait()
        try:
            LayerDeriver(store).tree(layer.diff_id)
            assert len(list(store.tree(layer.diff_id).iterdir())) == 200
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_layer_may_have_more_files_than_a_process_may_open(store):
    files = {f"src/f{i}.py": b"%d" % i for i in range(300)}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 60, hard))
    try:
        _, layer = remembered(store, files)
        LayerDeriver(store).tree(layer.diff_id)
        assert len(b"".join(LayerDeriver(store).blob(layer.digest))) == layer.size
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_stays_open(store):
    before = descriptors()
    _, layer = remembered(store, {"a": LARGE, "b": LARGE + b"b"}, STORED)
    derivation = LayerDeriver(store)
    derivation.tree(layer.diff_id)
    abandoned = derivation.blob(layer.digest)
    next(abandoned)
    del abandoned
    damage(store, Digest.of(LARGE))
    with pytest.raises(InputError):
        list(derivation.blob(layer.digest))
    assert descriptors() == before


def test_an_action_of_a_newer_mpbuild_is_reported_as_unsupported(store):
    action, layer = remembered(store, {"a": b"content"})
    document = (store.path / "derived" / layer.digest.hex).read_text()
    for digest in (layer.digest, layer.diff_id):
        path = store.path / "derived" / digest.hex
        path.unlink()
        path.write_text(document.replace('"version":1', '"version":2'))
    with pytest.raises(InputError, match="unsupported layer format: files-layer version 2"):
        LayerDeriver(store).tree(layer.diff_id)
    assert derive_layer.blob(
        LayerPlan(rule=FILES, title="", inputs=dict(action.inputs)), {"a": b""}
    )
