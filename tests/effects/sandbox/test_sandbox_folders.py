"""The folders around a sandbox: staged inputs, layers and their skeleton."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.epoch import SECONDS
from mpbuild.effects.sandbox.root_layers import make_skeleton, merge, within_one_mount
from mpbuild.effects.sandbox.staging import stage


def shown(folder: Path) -> dict[str, str]:
    """The content of a folder: path → link target, content, or a slash for a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else "/"
            if path.is_dir()
            else path.read_text()
        )
        for path in folder.rglob("*")
    }


def test_a_canonical_blob_is_linked_and_any_other_copied(tmp_path):
    blobs = {}
    for name, mode, seconds in [
        ("same", 0o444, SECONDS),
        ("mode", 0o644, SECONDS),
        ("time", 0o444, 1),
    ]:
        blobs[name] = tmp_path / name
        blobs[name].write_text(name)
        blobs[name].chmod(mode)
        os.utime(blobs[name], (seconds, seconds))
    blobs["run"] = blobs["same"]
    stage(blobs, ["run"], tmp_path / "work")
    linked = {name: (tmp_path / "work" / name).samefile(blob) for name, blob in blobs.items()}
    assert linked == {"same": True, "mode": False, "time": False, "run": False}
    for name, blob in blobs.items():
        status = (tmp_path / "work" / name).stat()
        assert (status.st_mode & 0o777, status.st_mtime) == (
            0o555 if name == "run" else 0o444,
            SECONDS,
        )
        assert (tmp_path / "work" / name).read_text() == blob.read_text()
    assert blobs["mode"].stat().st_mode & 0o777 == 0o644, "the blob itself is left alone"


def test_staging_does_not_depend_on_the_umask(tmp_path):
    (tmp_path / "blob").write_text("")
    before = os.umask(0o077)
    try:
        stage({"a/b/c": tmp_path / "blob"}, (), tmp_path / "work")
        make_skeleton({"/opt/x": True}, tmp_path / "skeleton")
    finally:
        os.umask(before)
    for folder in ("work", "work/a", "work/a/b", "skeleton", "skeleton/opt", "skeleton/opt/x"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o755


def test_a_skeleton_has_a_place_for_every_mount(tmp_path):
    make_skeleton({"/proc": True, "/opt/a/file": False, "/opt": True}, tmp_path / "s")
    assert shown(tmp_path / "s") == {"proc": "/", "opt": "/", "opt/a": "/", "opt/a/file": ""}


def options_of(layers: list[Path]) -> int:
    return len(
        "lowerdir=" + ":".join(f"/oldroot{os.path.realpath(p)}" for p in layers) + ",userxattr"
    )


@pytest.mark.parametrize("count", [1, 20, 40, 200])
def test_layers_fit_into_one_mount_however_many(count, tmp_path):
    layers = [tmp_path / f"{number:064}" for number in range(count)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name).write_text("")
    fitting = within_one_mount(layers, tmp_path, tmp_path / "spare")
    assert fitting[-1] == tmp_path
    assert options_of(fitting) <= 4095
    assert (options_of([*layers, tmp_path]) <= 4095) == (fitting == [*layers, tmp_path])
    names = {path.name for layer in fitting[:-1] for path in layer.iterdir()}
    assert names == {layer.name for layer in layers}


def test_a_layer_that_comes_twice_counts_where_it_is_uppermost(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    assert within_one_mount([a, b, a], tmp_path, tmp_path / "spare") == [b, a, tmp_path]


TREES = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["file", "folder", "link"]),
    max_size=6,
)


def write(tree: dict[str, str], folder: Path, number: int) -> None:
    folder.mkdir()
    for name, kind in sorted(tree.items()):
        path = folder / name
        if any(parent.is_symlink() or parent.is_file() for parent in [path, *path.parents]):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        if kind == "file":
            path.write_text(str(number))
        elif kind == "link":
            path.symlink_to(f"{number}")
        else:
            path.mkdir()


def overlaid(layers: list[dict[str, str]]) -> dict[str, str]:
    """As in an overlay: the upper entry hides the lower, but folders are merged."""
    seen: dict[str, str] = {}
    for layer in layers:
        for name, what in sorted(layer.items()):
            if what != "/":
                seen = {k: v for k, v in seen.items() if not k.startswith(name + "/")}
            seen[name] = what
    return seen


@settings(max_examples=60, deadline=None)
@given(trees=st.lists(TREES, min_size=1, max_size=4))
def test_merging_shows_what_an_overlay_would(trees, tmp_path_factory):
    base = tmp_path_factory.mktemp("merge")
    layers = [base / str(number) for number in range(len(trees))]
    for number, tree in enumerate(trees):
        write(tree, layers[number], number)
    before = [shown(layer) for layer in layers]
    merge(layers, base / "merged")
    assert shown(base / "merged") == overlaid(before)
    assert [shown(layer) for layer in layers] == before


def test_merged_folders_keep_the_modes_of_the_upper_layer(tmp_path):
    for name, mode in [("lower", 0o755), ("upper", 0o555)]:
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d" / name).write_text("")
        (tmp_path / name / "d").chmod(mode)
    merge([tmp_path / "lower", tmp_path / "upper"], tmp_path / "merged")
    assert (tmp_path / "merged" / "d").stat().st_mode & 0o777 == 0o555
    assert (tmp_path / "merged" / "d" / "lower").samefile(tmp_path / "lower" / "d" / "lower")
    for name in ("upper", "merged"):
        (tmp_path / name / "d").chmod(0o755)
