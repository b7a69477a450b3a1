"""The memo is valid exactly if a build would have the same result."""

import json
import os
import shutil

import pytest

import mpbuild
from mpbuild.app.build import memo
from mpbuild.app.build.build_result import (
    ActionCounts,
    BuildResult,
    BuiltChild,
    BuiltModel,
    BuiltPackage,
)
from mpbuild.app.build.options import BuildOptions
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.effects.installation import find_installation
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace.snapshot import FileVersion, Snapshot

FILES = {
    "mpbuild.toml": "workspace",
    "m/model.toml": "spec",
    "lockfiles/m/pylock.cpu.toml": "lock",
    "m/src/a.py": "a = 1",
    "m/src/p/b.py": "b = 1",
    "m/weights.bin": "weights",
}
PATTERNS = ["src/**/*.py", "weights.bin"]
DOCUMENTS = ["mpbuild.toml", "m/model.toml", "lockfiles/m/pylock.cpu.toml"]
BYTES = Digest.of(b"index")
RESULT = BuildResult(
    label=Label("//m"),
    package=BuiltPackage(BYTES, 5, partial=True),
    images=(BuiltChild(Accelerator.CPU, BYTES, 3),),
    pex=(BuiltChild(Accelerator.CPU, BYTES, 2),),
    model=BuiltModel(BYTES, 1),
    hermetic=True,
    record="/state/record.json",
    actions=ActionCounts(total=3, run=2, cached=1),
    seconds=1.5,
)
LATER = 60 * 10**9


class Kept:
    """A workspace, a store with a blob, and the memo of a build that read all of it."""

    def __init__(self, folder):
        self.root = folder / "workspace"
        self.runtime = None
        for name, text in FILES.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.store = Store(folder / "store")
        self.blob = self.store.put_bytes(b"index")
        self.layer = Digest.of(b"layer")
        (self.store.path / "derived" / self.layer.hex).write_bytes(b"the way to derive it")
        self.key = memo.MemoKey(
            self.store.path, self.root, Label("//m"), BuildOptions(), find_installation().identity
        )
        self.snapshot = Snapshot(self.root)
        for name in DOCUMENTS:
            self.snapshot.document(name)
        for pattern in PATTERNS:
            for path in self.snapshot.match("m", pattern):
                self.snapshot.file(path)
        self.keep()

    def keep(self, at=None):
        """Writes the memo; ``at`` is the time before the first look at any file."""
        snapshot = self.snapshot.branch()
        snapshot.patterns, snapshot.versions = self.snapshot.patterns, self.snapshot.versions
        snapshot.documents = self.snapshot.documents
        snapshot.at = self.snapshot.at if at is None else at
        memo.keep(self.key, snapshot, [self.blob], [self.layer], RESULT)

    def keep_as_if_read_later(self):
        """A time so late that the stat of a file is sufficient."""
        self.keep(self.snapshot.at + LATER)

    def find(self, **changes):
        """The answer to a new command."""
        mpbuild = find_installation(runtime=self.runtime).identity
        key = self.key._replace(**{"mpbuild": mpbuild, **changes})
        return memo.find(key, Snapshot(key.root))

    @property
    def hit(self):
        return self.find() is not None


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


@pytest.fixture(params=["read again", "looked at"])
def sure(request, kept):
    """Both ways to find a file unchanged: by its bytes, and by its stat."""
    if request.param == "looked at":
        kept.keep_as_if_read_later()
    return kept


def test_nothing_changed_is_a_hit_and_ran_nothing(sure):
    assert sure.find() == RESULT._replace(actions=ActionCounts(total=3, run=0, cached=3))


def test_without_a_memo_there_is_no_hit(kept):
    kept.key.path.unlink()
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
    seen = kept.snapshot.versions[path].stat
    kept.snapshot.versions[path] = FileVersion(seen, Digest.of(b"before"))
    changed = max(seen.mtime_ns, seen.ctime_ns)
    for at, trusted in ((changed, False), (changed + 999_999_999, False), (changed + LATER, True)):
        kept.keep(at)
        assert kept.hit is trusted


def test_a_snapshot_is_dated_before_its_first_look(kept):
    """However long the build took between the snapshot and the memo."""
    before = kept.snapshot.at
    looks = [version.stat for version in kept.snapshot.versions.values()]
    assert all(before >= max(seen.mtime_ns, seen.ctime_ns) for seen in looks)
    assert json.loads(kept.key.path.read_bytes())["at"] == before


@pytest.mark.parametrize(
    "options", [BuildOptions(sandbox="none"), BuildOptions(accelerators=(Accelerator.CPU,))]
)
def test_another_way_to_build_is_a_miss(sure, options):
    assert sure.find(options=options) is None


@pytest.mark.parametrize("options", [BuildOptions(jobs=3), BuildOptions(offline=True)])
def test_what_decides_no_byte_is_still_a_hit(sure, options):
    assert sure.find(options=options) is not None


def test_another_label_or_workspace_is_a_miss(sure, tmp_path):
    assert sure.find(label=Label("//n")) is None
    shutil.copytree(sure.root, tmp_path / "copy")
    assert sure.find(root=tmp_path / "copy") is None


def test_a_missing_blob_is_a_miss(sure):
    sure.store.blob(sure.blob).unlink()
    assert not sure.hit


def test_another_mpbuild_is_a_miss(sure):
    identity = find_installation().identity
    assert identity.startswith(f"{mpbuild.__version__} ")
    assert sure.find(mpbuild=identity.replace(mpbuild.__version__, "99.0.0", 1)) is None


def test_any_changed_file_of_mpbuild_itself_is_a_miss(sure, tmp_path):
    """mpbuild may run from a checkout; the runtime in images is not only Python."""
    runtime = sure.runtime = tmp_path / "mpbuild_runtime"
    runtime.mkdir()
    (runtime / "mpbuild-run").write_text("#!/bin/sh\n")
    sure.key = sure.key._replace(mpbuild=find_installation(runtime=runtime).identity)
    sure.keep()
    assert sure.hit
    (runtime / "__pycache__").mkdir()
    (runtime / "__pycache__" / "x.pyc").touch()
    assert sure.hit
    (runtime / "mpbuild-run").write_text("#!/bin/bash\n")
    assert not sure.hit


def test_garbage_is_a_miss(kept, garbage):
    kept.key.path.unlink()
    kept.key.path.write_bytes(garbage)
    assert not kept.hit


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {}, [1], {"x": 1}, {"x": []}, {"x": [1, 2, 3]}]
)
@pytest.mark.parametrize("key", ["patterns", "files", "documents", "blobs", "at", "result"])
def test_a_memo_with_another_value_anywhere_is_a_miss_or_a_whole_answer(kept, key, value):
    document = json.loads(kept.key.path.read_bytes())
    kept.key.path.unlink()
    kept.key.path.write_text(json.dumps(document | {key: value}))
    found = kept.find()
    assert found is None or found.actions.total == 3


@pytest.mark.parametrize(
    "key", ["schema", "mpbuild", "options", "patterns", "files", "at", "result"]
)
def test_a_memo_that_lacks_something_is_a_miss(kept, key):
    document = json.loads(kept.key.path.read_bytes())
    del document[key]
    kept.key.path.unlink()
    kept.key.path.write_text(json.dumps(document))
    assert not kept.hit


def test_a_memo_that_cannot_be_written_fails_no_build(kept):
    shutil.rmtree(kept.store.path / "last")
    kept.keep()
    assert not kept.hit


def test_a_real_build_leaves_a_memo_that_answers_with_its_package(
    tiny, tmp_path, monkeypatch, build_again, small_toolchain
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(tiny.workspace, tmp_path / "workspace")
    root = tmp_path / "workspace"
    result = build_again(root, tiny.store)
    mpbuild = find_installation(small_toolchain.folder).identity
    options = BuildOptions(offline=True)
    key = memo.MemoKey(tiny.store.path, root, Label("//models/tiny"), options, mpbuild)

    def found():
        return memo.find(key, Snapshot(root))

    assert found() == result.unchanged
    assert found().package.digest == tiny.digest
    for name in ("mpbuild.toml", "models/tiny/model.toml", "models/tiny/src/tiny/model.py"):
        text = (root / name).read_text()
        (root / name).write_text(text + "\n")
        assert found() is None
        (root / name).write_text(text)
        assert found() is not None
    for path in (root / "lockfiles").rglob("*.toml"):
        path.write_text(path.read_text() + "\n")
        assert found() is None


def test_a_memo_misses_once_a_layer_can_no_longer_be_derived(kept):
    assert kept.hit
    (kept.store.path / "derived" / kept.layer.hex).unlink()
    assert not kept.hit
