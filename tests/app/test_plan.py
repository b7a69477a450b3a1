"""From a spec to a graph: leaves match their digests, and planning needs no store."""

import shutil

import msgspec
import pytest

from mpbuild.app.build import toolchain
from mpbuild.app.build.blueprint import declared_patterns, target_blueprint
from mpbuild.app.build.build_graph import plan_build
from mpbuild.app.lock.lock_files import read_locks
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.installation import find_installation
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace.snapshot import Snapshot

LABEL = Label("//models/tiny")
RUNTIME = {name: path.read_bytes() for name, path in find_installation().runtime_files.items()}


@pytest.fixture
def workspace(tiny, tmp_path):
    """A copy of the tiny workspace that a test can change."""
    shutil.copytree(tiny.workspace, tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "plan store")


@pytest.fixture
def blueprint_of(small_toolchain):
    """``blueprint_of(root, store=None)``: the target's, its sources put into ``store``."""

    def make(root, store=None):
        snapshot = Snapshot(root, store)
        target = OpenWorkspace(root, snapshot).target(LABEL)
        locks, read = read_locks(target), toolchain.read_toolchain(small_toolchain.folder)
        return target_blueprint(target, locks, read, RUNTIME, snapshot)

    return make


@pytest.fixture
def planned(blueprint_of):
    return lambda root: plan_build(blueprint_of(root).blueprint, [Accelerator.CPU])


def test_every_leaf_matches_its_digest(workspace, store, blueprint_of):
    found = blueprint_of(workspace, store)
    leaves = {f"{leaf.kind}:{leaf.name}": digest for leaf, digest in found.blueprint.leaves.items()}
    folder = workspace / LABEL.path
    assert leaves["source:src/tiny/model.py"] == Digest.of(
        (folder / "src/tiny/model.py").read_bytes()
    )
    assert leaves["source:weights/numbers.bin"] == Digest.of(bytes(range(256)) * 16)
    assert {name.partition(":")[0] for name in leaves} == {"source", "runtime", "lock", "spec"}
    assert {name for name in leaves if name.startswith("lock:")} == {
        *("lock:pylock.cpu.toml", "lock:debian.cpu.toml"),
        *("lock:pylock.toolchain.toml", "lock:debian.toolchain.toml"),
    }
    in_memory = {Digest.of(blob) for blob in found.blobs}
    for name, digest in leaves.items():
        if "toolchain" not in name:
            assert store.has(digest) if name.startswith("source:") else digest in in_memory


def test_a_blueprint_needs_no_store(workspace, store, blueprint_of):
    assert (
        blueprint_of(workspace).blueprint.leaves == blueprint_of(workspace, store).blueprint.leaves
    )


def test_each_layer_of_an_image_is_a_task_of_the_graph(workspace, planned):
    found = planned(workspace)
    titles = [layer.title for layer, _ in found.images[Accelerator.CPU]]
    assert titles[0] == "base: 1 Debian packages"
    assert titles[-1] == "spec and locks"
    assert {task for _, task in found.images[Accelerator.CPU]} <= found.graph.tasks.keys()
    assert "pex" in found.graph.tasks


def test_the_plan_of_one_workspace_is_the_same_anywhere(workspace, tiny, blueprint_of, planned):
    assert blueprint_of(workspace).blueprint.leaves == blueprint_of(tiny.workspace).blueprint.leaves
    one, other = planned(workspace), planned(tiny.workspace)
    assert {name: task.action.key for name, task in one.graph.tasks.items()} == {
        name: task.action.key for name, task in other.graph.tasks.items()
    }


@pytest.mark.parametrize("path", ["src/tiny/model.py", "weights/numbers.bin"])
def test_a_source_that_changed_before_it_was_kept_stops_the_build(
    workspace, store, blueprint_of, path
):
    """Of a snapshot without a sink, which must open the file once more."""
    snapshot = Snapshot(workspace)
    snapshot.file(f"models/tiny/{path}")
    (workspace / LABEL.path / path).write_bytes(b"other")
    with pytest.raises(InputError, match="changed while it was read") as caught:
        snapshot.put(f"models/tiny/{path}", store)
    assert caught.value.findings[0].where == f"models/tiny/{path}"


def test_every_pattern_that_matches_nothing_is_named(workspace, blueprint_of):
    shutil.rmtree(workspace / LABEL.path / "src")
    (workspace / LABEL.path / "weights/numbers.bin").unlink()
    with pytest.raises(InputError) as caught:
        blueprint_of(workspace)
    assert [(f.message, f.where) for f in caught.value.findings] == [
        ("src/**/*.py matches no file", "models/tiny/model.toml"),
        ("weights/numbers.bin matches no file", "models/tiny/model.toml"),
    ]


def pin_weights(workspace, digest):
    spec = workspace / LABEL.path / "model.toml"
    text = 'path = "weights/numbers.bin"\n'
    spec.write_text(spec.read_text().replace(text, f'{text}sha256 = "{digest.hex}"\n'))


def test_weights_with_the_digest_of_the_spec_are_taken(workspace, blueprint_of):
    pin_weights(workspace, Digest.of(bytes(range(256)) * 16))
    assert blueprint_of(workspace).blueprint.leaves[Leaf("source", "weights/numbers.bin")]


def test_weights_with_another_digest_than_in_the_spec_are_refused(workspace, blueprint_of):
    other = Digest.of(b"other")
    pin_weights(workspace, other)
    with pytest.raises(
        InputError, match=r"numbers: models/tiny/weights/numbers\.bin has"
    ) as caught:
        blueprint_of(workspace)
    (finding,) = caught.value.findings
    assert finding.code == "content-mismatch"
    assert finding.hint == f"the spec has {other}"


def test_the_executable_bit_of_a_source_is_kept(workspace, planned):
    (workspace / LABEL.path / "src/tiny/model.py").chmod(0o755)
    code = next(
        layer for layer, _ in planned(workspace).images[Accelerator.CPU] if layer.title == "code"
    )
    assert code.executable == ("opt/model/src/tiny/model.py",)


def test_what_a_target_declares_are_sources_weights_and_inputs_of_steps(workspace):
    model = OpenWorkspace(workspace).target(LABEL).model
    assert declared_patterns(model) == ["src/**/*.py", "weights/numbers.bin"]
    weightless = msgspec.structs.replace(
        model, core=msgspec.structs.replace(model.core, weights=())
    )
    assert declared_patterns(weightless) == ["src/**/*.py"]


def test_the_runtime_is_its_python_files_and_the_entry_point():
    names = find_installation().runtime_files
    assert "mpbuild_runtime/mpbuild-run" in names
    assert "mpbuild_runtime/__init__.py" in names
    assert all(path.is_file() for path in names.values())
    assert not [name for name in names if "__pycache__" in name]
