"""The memo answers exactly when a build would give the same again."""

import json
import os
import shutil

import pytest

import mpbuild
from mpbuild.app.build import memo
from mpbuild.app.build.build import build
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.effects.store.store import Store

FILES = {
    "mpbuild.toml": "workspace",
    "m/model.toml": "spec",
    "lockfiles/m/pylock.cpu.toml": "lock",
    "m/src/a.py": "a = 1",
    "m/src/p/b.py": "b = 1",
    "m/weights.bin": "weights",
}
PATTERNS = ["src/**/*.py", "weights.bin"]
ALSO = ["mpbuild.toml", "m/model.toml", "lockfiles/m/pylock.cpu.toml"]
RESULT = {"label": "//m", "actions": {"total": 3, "run": 2, "cached": 1}}
LATER = 60 * 10**9


class Kept:
    """A workspace, a store with a blob, and the memo of a build that read all of it."""

    def __init__(self, folder):
        self.root = folder / "workspace"
        for name, text in FILES.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.store = Store(folder / "store")
        self.blob = self.store.put_bytes(b"index")
        self.layer = Digest.of(b"layer")
        (self.store.path / "derived" / self.layer.hex).write_bytes(b"the way to derive it")
        self.slot = memo.MemoKey(self.store.path, self.root, Label("//m"), BuildOptions())
        self.scan = memo.scan(self.root, "m", PATTERNS, ALSO)
        self.keep(self.scan)

    def keep(self, scan):
        memo.keep(self.slot, scan, [self.blob], [self.layer], RESULT)

    def keep_as_if_scanned_later(self):
        """So late that what the file system says of a file is enough."""
        self.keep(self.scan._replace(at=self.scan.at + LATER))

    @property
    def hit(self):
        return memo.find(self.slot) is not None


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


@pytest.fixture(params=["read again", "looked at"])
def sure(request, kept):
    """Both ways of finding a file unchanged: by its bytes, and by its looks."""
    if request.param == "looked at":
        kept.keep_as_if_scanned_later()
    return kept


def test_nothing_changed_is_a_hit_and_ran_nothing(sure):
    assert memo.find(sure.slot) == {"label": "//m", "actions": {"total": 3, "run": 0, "cached": 3}}


def test_without_a_memo_there_is_no_hit(kept):
    kept.slot.path.unlink()
    assert not kept.hit


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_a_miss(sure, name):
    (sure.root / name).write_text(FILES[name] + "!")
    assert not sure.hit


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_a_miss_though_size_and_time_stayed(sure, name):
    path = sure.root / name
    status = path.stat()
    path.write_text(FILES[name][:-1] + "!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert path.stat().st_size == status.st_size
    assert not sure.hit


def test_a_file_that_was_touched_only_is_still_a_hit(sure):
    for name in FILES:
        (sure.root / name).touch()
    assert sure.hit


def test_a_file_replaced_by_an_equal_one_is_still_a_hit(sure):
    path = sure.root / "m/src/a.py"
    path.rename(sure.root / "elsewhere")
    shutil.copyfile(sure.root / "elsewhere", path)
    assert sure.hit


def test_another_executable_bit_is_a_miss(sure):
    (sure.root / "m/src/a.py").chmod(0o755)
    assert not sure.hit


@pytest.mark.parametrize("name", ["m/src/new.py", "m/src/p/q/new.py"])
def test_a_new_file_that_a_pattern_matches_is_a_miss(sure, name):
    (sure.root / name).parent.mkdir(exist_ok=True)
    (sure.root / name).touch()
    assert not sure.hit


@pytest.mark.parametrize(
    "name", ["m/src/new.txt", "m/new.py", "m/src/.new.py", "m/src/__pycache__/a.py"]
)
def test_a_new_file_that_no_pattern_matches_is_still_a_hit(sure, name):
    (sure.root / name).parent.mkdir(exist_ok=True)
    (sure.root / name).touch()
    assert sure.hit


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_a_miss(sure, name):
    (sure.root / name).unlink()
    assert not sure.hit


def test_a_file_that_became_a_folder_or_a_link_out_is_a_miss(sure, tmp_path):
    path = sure.root / "m/src/a.py"
    path.unlink()
    path.mkdir()
    assert not sure.hit
    path.rmdir()
    (tmp_path / "outside").write_text(FILES["m/src/a.py"])
    path.symlink_to(tmp_path / "outside")
    assert not sure.hit


def test_what_changed_within_the_clocks_grain_is_read_again(kept):
    """A file that was touched right before the scan may have been touched again right after it,
    and look the same: so its looks don't count."""
    path = "m/src/a.py"
    seen, _ = kept.scan.files[path]
    missed = kept.scan._replace(files=kept.scan.files | {path: (seen, Digest.of(b"before"))})
    changed = max(seen.mtime_ns, seen.ctime_ns)
    for at, trusted in ((changed, False), (changed + 999_999_999, False), (changed + LATER, True)):
        kept.keep(missed._replace(at=at))
        assert kept.hit is trusted


def test_a_scan_is_dated_before_its_first_look(kept):
    """However long the build took between the scan and the memo."""
    before = kept.scan.at
    assert all(before >= max(seen.mtime_ns, seen.ctime_ns) for seen, _ in kept.scan.files.values())
    assert json.loads(kept.slot.path.read_bytes())["at"] == before


@pytest.mark.parametrize(
    "options", [BuildOptions(sandbox="none"), BuildOptions(accelerators=(Accelerator.CPU,))]
)
def test_another_way_to_build_is_a_miss(sure, options):
    assert memo.find(sure.slot._replace(options=options)) is None


@pytest.mark.parametrize("options", [BuildOptions(jobs=3), BuildOptions(offline=True)])
def test_what_decides_no_byte_is_still_a_hit(sure, options):
    assert memo.find(sure.slot._replace(options=options)) is not None


def test_another_label_or_workspace_is_a_miss(sure, tmp_path):
    assert memo.find(sure.slot._replace(label=Label("//n"))) is None
    shutil.copytree(sure.root, tmp_path / "copy")
    assert memo.find(sure.slot._replace(root=tmp_path / "copy")) is None


def test_a_missing_blob_is_a_miss(sure):
    sure.store.blob(sure.blob).unlink()
    assert not sure.hit


def test_another_mpbuild_is_a_miss(sure, monkeypatch):
    monkeypatch.setattr(mpbuild, "__version__", "99.0.0")
    assert not sure.hit


def test_any_changed_file_of_mpbuild_itself_is_a_miss(sure, runtime):
    """It may be run from a checkout; what images carry of the runtime is not only Python."""
    (runtime / "mpbuild-run").write_text("#!/bin/sh\n")
    sure.keep(sure.scan)
    assert sure.hit
    (runtime / "__pycache__").mkdir()
    (runtime / "__pycache__" / "x.pyc").touch()
    assert sure.hit
    (runtime / "mpbuild-run").write_text("#!/bin/bash\n")
    assert not sure.hit


def test_garbage_is_a_miss(kept, garbage):
    kept.slot.path.unlink()
    kept.slot.path.write_bytes(garbage)
    assert not kept.hit


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {}, [1], {"x": 1}, {"x": []}, {"x": [1, 2, 3]}]
)
@pytest.mark.parametrize("key", ["patterns", "files", "blobs", "at", "result"])
def test_a_memo_with_another_value_anywhere_is_a_miss_or_a_whole_answer(kept, key, value):
    document = json.loads(kept.slot.path.read_bytes())
    kept.slot.path.unlink()
    kept.slot.path.write_text(json.dumps(document | {key: value}))
    found = memo.find(kept.slot)
    assert found is None or found["actions"]["total"] == 3


@pytest.mark.parametrize(
    "key", ["schema", "mpbuild", "options", "patterns", "files", "at", "result"]
)
def test_a_memo_that_lacks_something_is_a_miss(kept, key):
    document = json.loads(kept.slot.path.read_bytes())
    del document[key]
    kept.slot.path.unlink()
    kept.slot.path.write_text(json.dumps(document))
    assert not kept.hit


def test_a_memo_that_cannot_be_written_fails_no_build(kept):
    shutil.rmtree(kept.store.path / "last")
    kept.keep(kept.scan)
    assert not kept.hit


def test_a_real_build_leaves_a_memo_that_answers_with_its_package(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    options = BuildOptions(offline=True)
    shutil.copytree(tiny.workspace, tmp_path / "workspace")
    root = tmp_path / "workspace"
    label = Label("//models/tiny")

    class Nobody:
        started = finished = fetching = received = staticmethod(lambda *_, **__: None)

    result = build(OpenWorkspace(root), label, tiny.store, options, Nobody())
    slot = memo.MemoKey(tiny.store.path, root, label, options)
    found = memo.find(slot)
    assert found["package"] == result["package"] == found["package"] | {"digest": tiny.digest}
    for name in ("mpbuild.toml", "models/tiny/model.toml", "models/tiny/src/tiny/model.py"):
        text = (root / name).read_text()
        (root / name).write_text(text + "\n")
        assert memo.find(slot) is None
        (root / name).write_text(text)
        assert memo.find(slot) is not None
    for path in (root / "lockfiles").rglob("*.toml"):
        path.write_text(path.read_text() + "\n")
        assert memo.find(slot) is None


def test_a_memo_misses_once_a_layer_can_no_longer_be_derived(kept):
    assert kept.hit
    (kept.store.path / "derived" / kept.layer.hex).unlink()
    assert not kept.hit
