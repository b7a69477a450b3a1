"""A build is of one snapshot: an edit while it runs belongs to the next build, as a whole."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from mpbuild.app.build import memo
from mpbuild.app.build.build import build
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.cli.refs import locate
from mpbuild.cli.session import Session
from mpbuild.effects.installation import find_installation
from mpbuild.effects.workspace.snapshot import Snapshot
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from tests.making.wheels import write_wheel

LABEL = Label("//models/tiny")
# Steps run on the host here: what counts is which files they read.
OPTIONS = BuildOptions(offline=True, sandbox="none")
MORE = """
[[core.weights]]
name = "counted"
version = "1.0.0"
step = "count"
output = "o"
[[core.files]]
name = "words"
version = "1.0.0"
path = "words.txt"
[environments.work]
base = "debian-bookworm"
dependencies = ["numpy"]
[[steps]]
name = "count"
environment = "work"
command = ["sh", "-c", "cat rows.csv > {out}/o"]
inputs = ["rows.csv"]
outputs = ["o"]
"""
STAGES = ("memo", "spec", "locks", "sources", "inputs", "running", "actions", "package")


def append(text):
    return lambda path, _: path.write_text(path.read_text() + text)


def with_another_wheel(path, wheel):
    """The lock names other bytes for numpy 2.0, which the store has as well."""
    lock = pylock.read(path.read_text(), file=path.name)
    packages = [
        msgspec.structs.replace(one, wheel=wheel) if one.name == "numpy" else one
        for one in lock.packages
    ]
    path.write_text(pylock.write(msgspec.structs.replace(lock, packages=tuple(packages))))


def with_another_resolver(path, _):
    lock = pylock.read(path.read_text(), file=path.name)
    path.write_text(pylock.write(msgspec.structs.replace(lock, resolver="uv 0.13.10")))


def with_another_pool(path, _):
    lock = deblock.read(path.read_text(), file=path.name)
    packages = [
        msgspec.structs.replace(one, path=one.path.replace("pool/main/", "pool/updates/"))
        for one in lock.packages
    ]
    path.write_text(deblock.write(msgspec.structs.replace(lock, packages=tuple(packages))))


def with_another_summary(path, _):
    path.write_text(path.read_text().replace("As small as", "Nearly as small as"))


class Kind(NamedTuple):
    """A kind of input file: where it is, at which stage a build reads it, how it is edited."""

    path: str
    read_at: str
    edit: object


KINDS = {
    "mpbuild.toml": Kind("mpbuild.toml", "spec", append("# edited\n")),
    "model.toml": Kind("models/tiny/model.toml", "spec", with_another_summary),
    "Python lock": Kind("lockfiles/models/tiny/pylock.cpu.toml", "locks", with_another_wheel),
    "Debian lock": Kind("lockfiles/models/tiny/debian.cpu.toml", "locks", with_another_pool),
    "step's lock": Kind("lockfiles/models/tiny/pylock.work.toml", "locks", with_another_wheel),
    "toolchain lock": Kind("{toolchain}/pylock.toolchain.toml", "locks", with_another_resolver),
    "source": Kind("models/tiny/src/tiny/model.py", "sources", append("# edited\n")),
    "weights": Kind(
        "models/tiny/weights/numbers.bin", "sources", lambda path, _: path.write_bytes(b"new")
    ),
    "file": Kind("models/tiny/words.txt", "sources", append("edited\n")),
    "step input": Kind("models/tiny/rows.csv", "sources", append("2,3\n")),
    "runtime": Kind("{runtime}/metrics.py", "sources", append("# edited\n")),
}


class Place:
    """A workspace, a runtime and a toolchain, to be edited while they are built."""

    def __init__(self, folder, store, wheel):
        self.root = folder / "workspace"
        self.toolchain = folder / "toolchain"
        self.runtime = folder / "modules/mpbuild_runtime"
        self.store = store
        self.wheel = wheel

    def path(self, name):
        places = {"toolchain": self.toolchain, "runtime": self.runtime}
        return self.root / KINDS[name].path.format(**places)

    def edit(self, name):
        KINDS[name].edit(self.path(name), self.wheel)

    @property
    def key(self):
        mpbuild = find_installation(self.toolchain, self.runtime).identity
        return memo.MemoKey(self.store.path, self.root, LABEL, OPTIONS, mpbuild)

    def find(self, snapshot=None):
        """What the memo answers."""
        return memo.find(self.key, snapshot or Snapshot(self.root, self.store))

    def build(self, observer=None, snapshot=None, installation=None):
        observer = observer or Editor(self, "", "")
        snapshot = snapshot or Snapshot(self.root, self.store)
        installation = installation or find_installation(self.toolchain, self.runtime)
        return build(snapshot, LABEL, self.store, OPTIONS, observer, installation)


class Editor:
    """Edits a file when a build reaches a stage, or when its first action is done."""

    def __init__(self, place, name, stage):
        self._edit = lambda: place.edit(name)
        self._stage = stage
        self.edited = False

    def reached(self, stage):
        if stage == self._stage:
            self.edited = True
            self._edit()

    def started(self, name): ...

    def finished(self, name, *, cached):
        if not self.edited:
            self.reached("running")

    def fetching(self, files, size): ...
    def received(self, count): ...


@pytest.fixture
def place(tiny, stock, small_toolchain, tmp_path, monkeypatch):
    """The tiny workspace with a step and a file, all of it copied."""
    filename = "numpy-2.0-py3-none-any.whl"
    other = tiny.store.put([write_wheel(filename, {"numpy/__init__.py": b"answer = 43\n"})])
    wheel = pylock.LockedWheel(filename=filename, sha256=other.digest, size=other.size)
    made = Place(tmp_path, tiny.store, wheel)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    runtime = importlib.util.find_spec("mpbuild_runtime").submodule_search_locations[0]
    shutil.copytree(runtime, made.runtime)
    (made.runtime / "metrics.py").touch()
    shutil.copytree(small_toolchain.folder, made.toolchain)
    shutil.copytree(tiny.workspace, made.root)
    model = made.path("model.toml")
    model.write_text(model.read_text() + MORE)
    made.path("file").write_text("words\n")
    made.path("step input").write_text("0,1\n")
    for environment in environments(OpenWorkspace(made.root).target(LABEL)):
        stock.write_locks(environment, tiny.store, "numpy", "tinynumbers")
    return made


@pytest.mark.parametrize("memory", ["first build", "build after an edit"])
@pytest.mark.parametrize("name", KINDS)
def test_an_edit_during_a_build_is_seen_by_the_next_one_and_never_by_half(place, name, memory):
    """At whichever point: what is built is the tree before or the tree after the edit.

    After an edit the memo compares the edited file first, and the build goes on with what that
    read.
    """
    before = place.build().package.digest
    original = place.path(name).read_bytes()
    place.edit(name)
    after = place.build().package.digest
    for stage in STAGES:
        place.path(name).write_bytes(original)
        if memory == "first build":
            place.key.path.unlink()
        installation, snapshot = (
            find_installation(place.toolchain, place.runtime),
            Snapshot(place.root),
        )
        assert place.find(snapshot) is None
        editor = Editor(place, name, stage)
        editor.reached("memo")
        built = place.build(editor, snapshot, installation)
        assert editor.edited
        inside = place.path(name).is_relative_to(place.root)
        read_at = "memo" if inside and memory != "first build" else KINDS[name].read_at
        missed = STAGES.index(stage) >= STAGES.index(read_at)
        assert built.package.digest == (before if missed else after), stage
        found = place.find()
        if missed or not inside:  # another runtime or toolchain is another mpbuild
            assert found is None, stage
        else:
            assert found.package.digest == after, stage
        assert place.build().package.digest == after, stage


COUNT = """
import collections, json, os, sys
from pathlib import Path
counts = collections.Counter()
def count(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        counts[os.fsdecode(arguments[0])] += 1
sys.addaudithook(count)
from mpbuild.cli.root import run
code = run(sys.argv[2:], toolchain=Path(sys.argv[1]))
sys.stderr.write(json.dumps([code, counts]))
"""


@pytest.fixture
def opens(place):
    """``opens()``: how often a build from the command line opens each file of the place."""
    place.path("mpbuild.toml").write_text(
        place.path("mpbuild.toml").read_text() + f'[store]\npath = "{place.store.path}"\n'
    )
    environment = os.environ | {"PYTHONPATH": str(place.runtime.parent)}
    environment.pop("MPBUILD_STORE", None)
    words = ("-q", "-C", place.root, "build", "//...", "--offline", "--sandbox", "none")
    command = [sys.executable, "-c", COUNT, place.toolchain, *words]

    def run():
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        code, counts = json.loads(done.stderr)
        assert code == 0
        kept = (place.root, place.toolchain, place.runtime)
        return {
            path: number
            for path, number in counts.items()
            if any(Path(path).is_relative_to(folder) for folder in kept)
        }

    return run


def test_a_build_opens_each_input_file_once(place, opens):
    found = opens()
    assert {str(place.path(name)) for name in KINDS} <= found.keys()
    assert set(found.values()) == {1}


def test_a_build_with_nothing_to_do_opens_no_file_twice(place, opens):
    opens()
    assert set(opens().values()) <= {1}


@pytest.mark.parametrize("name", KINDS)
def test_a_build_after_an_edit_opens_each_input_file_once(place, opens, name):
    opens()
    place.edit(name)
    found = opens()
    assert {str(place.path(name)) for name in KINDS} <= found.keys()
    assert set(found.values()) == {1}


def test_asking_for_a_package_puts_no_edited_source_into_the_store(place):
    plain = {"json": True, "color": False, "quiet": True, "verbose": False}
    session = Session(
        "verify", place.root, str(place.store.path), **plain, toolchain=place.toolchain
    )
    built = place.build(installation=session.installation).package.digest
    assert locate(session, LABEL, place.store).digest == built
    place.path("source").write_text("# as no other test writes it\n")
    with pytest.raises(InputError, match="has no build of the current workspace"):
        locate(session, LABEL, place.store)
    assert not place.store.has(Digest.of(place.path("source").read_bytes()))
