"""From a spec to a graph: leaves are what their digests say, in the store before anything runs."""

import shutil

import msgspec
import pytest

from mpbuild.app.build import blueprint, toolchain
from mpbuild.app.build.blueprint import declared_patterns, read_sources, runtime_files
from mpbuild.app.build.build_graph import plan_build
from mpbuild.app.lock.lock_files import read_locks
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.store.store import Store

LABEL = Label("//models/tiny")


@pytest.fixture
def workspace(tiny, tmp_path):
    """A copy of the tiny workspace, to be changed."""
    shutil.copytree(tiny.workspace, tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "plan store")


def made(root, store, change=lambda target: None):
    """The blueprint; ``change`` is made between hashing the sources and keeping them."""
    target = OpenWorkspace(root).target(LABEL)
    locks = read_locks(target)
    also = [path.relative_to(root).as_posix() for path in locks.files.values()]
    declared = read_sources(target, also)
    change(target)
    return blueprint.of_target(target, locks, toolchain.read(), declared, store)


def planned(root, store):
    return plan_build(made(root, store), [Accelerator.CPU])


def test_every_leaf_is_in_the_store_under_its_name(workspace, store):
    found = made(workspace, store).leaves
    leaves = {f"{leaf.kind}:{leaf.name}": digest for leaf, digest in found.items()}
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
    kept = {name: digest for name, digest in leaves.items() if "toolchain" not in name}
    assert all(store.read(digest) is not None for digest in kept.values())


def test_each_layer_of_an_image_is_a_task_of_the_graph(workspace, store):
    found = planned(workspace, store)
    titles = [layer.title for layer, _ in found.images[Accelerator.CPU]]
    assert titles[0] == "base: 1 Debian packages"
    assert titles[-1] == "spec and locks"
    assert {task for _, task in found.images[Accelerator.CPU]} <= found.graph.tasks.keys()
    assert "pex" in found.graph.tasks


def test_the_plan_of_one_workspace_is_the_same_anywhere(workspace, tiny, store, tmp_path):
    elsewhere = Store(tmp_path / "elsewhere")
    assert made(workspace, store).leaves == made(tiny.workspace, elsewhere).leaves
    one, other = planned(workspace, store), planned(tiny.workspace, elsewhere)
    assert {name: task.action.key for name, task in one.graph.tasks.items()} == {
        name: task.action.key for name, task in other.graph.tasks.items()
    }


@pytest.mark.parametrize("path", ["src/tiny/model.py", "weights/numbers.bin"])
def test_a_source_that_changes_while_it_is_read_stops_the_build(workspace, store, path):
    def change(target):
        (target.folder / path).write_bytes(b"other")

    with pytest.raises(InputError, match="changed while it was read") as caught:
        made(workspace, store, change)
    assert caught.value.findings[0].where == f"models/tiny/{path}"


def test_every_pattern_that_matches_nothing_is_told(workspace):
    shutil.rmtree(workspace / LABEL.path / "src")
    (workspace / LABEL.path / "weights/numbers.bin").unlink()
    with pytest.raises(InputError) as caught:
        read_sources(OpenWorkspace(workspace).target(LABEL), [])
    assert [(f.message, f.where) for f in caught.value.findings] == [
        ("src/**/*.py matches no file", "models/tiny/model.toml"),
        ("weights/numbers.bin matches no file", "models/tiny/model.toml"),
    ]


def pin_weights(workspace, digest):
    spec = workspace / LABEL.path / "model.toml"
    text = 'path = "weights/numbers.bin"\n'
    spec.write_text(spec.read_text().replace(text, f'{text}sha256 = "{digest.hex}"\n'))


def test_weights_with_the_digest_that_the_spec_says_are_taken(workspace, store):
    pin_weights(workspace, Digest.of(bytes(range(256)) * 16))
    assert made(workspace, store).leaves[Leaf("source", "weights/numbers.bin")]


def test_weights_with_another_digest_than_the_spec_says_are_refused(workspace, store):
    other = Digest.of(b"other")
    pin_weights(workspace, other)
    with pytest.raises(
        InputError, match=r"numbers: models/tiny/weights/numbers\.bin has"
    ) as caught:
        made(workspace, store)
    (finding,) = caught.value.findings
    assert finding.code == "content-mismatch"
    assert finding.hint == f"the spec says {other}"


def test_the_executable_bit_of_a_source_is_kept(workspace, store):
    (workspace / LABEL.path / "src/tiny/model.py").chmod(0o755)
    code = next(
        layer
        for layer, _ in planned(workspace, store).images[Accelerator.CPU]
        if layer.title == "code"
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
    names = runtime_files()
    assert "mpbuild_runtime/mpbuild-run" in names
    assert "mpbuild_runtime/__init__.py" in names
    assert all(path.is_file() for path in names.values())
    assert not [name for name in names if "__pycache__" in name]
