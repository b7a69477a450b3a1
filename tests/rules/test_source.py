"""The action that runs a source distribution's own backend, and its script."""

import gzip
import json
import subprocess
import sys
from importlib.metadata import entry_points

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.engine.graph import Ref
from mpbuild.engine.rule import SourceData
from mpbuild_rules import source
from tests.making.tars import write_tar
from tests.making.zips import write_zip

DATA = SourceData(
    source=Digest.of(b"bytes"),
    filename="thing-1.0.tar.gz",
    backend="own:Backend.inner",
    backend_path=("tools",),
    root=(Ref("layer:base", "layer"),),
    python="3.11",
)
# A backend in the source tree that checks its folder and its arguments.
BACKEND = """
import os, pathlib, sys
class Backend:
    class inner:
        @staticmethod
        def get_requires_for_build_wheel(settings):
            assert settings is None
            assert pathlib.Path("PKG-INFO").is_file(), "not in the source tree"
            assert os.getcwd() not in sys.path
            return ["extra>=1"]
        @staticmethod
        def build_wheel(folder, settings, metadata):
            pathlib.Path("written").touch()
            pathlib.Path(folder, "thing-1.0-py3-none-any.whl").write_bytes(b"a wheel")
            print("said")
            return "thing-1.0-py3-none-any.whl"
"""


def files(backend=BACKEND):
    return {"thing-1.0/PKG-INFO": b"", "thing-1.0/tools/own.py": backend.encode()}


@pytest.fixture
def tar():
    return lambda contents: gzip.compress(write_tar(contents))


@pytest.fixture
def run(tmp_path):
    """Runs the action's command with the host's Python; returns the process and its outputs."""

    def run(hook, archive, **changes):
        data = msgspec.structs.replace(DATA, **changes)
        work, out = tmp_path / "work", tmp_path / "out"
        work.mkdir()
        out.mkdir()
        (work / data.filename).write_bytes(archive)
        words = source.rule(hook, data).action.command
        done = subprocess.run(
            [sys.executable, *(word.replace("{out}", str(out)) for word in words[1:])],
            cwd=work,
            env={"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert [path.name for path in work.iterdir()] == [data.filename]
        return done, {path.name: path.read_bytes() for path in out.iterdir()}

    return run


def test_it_is_found_as_every_rule_is():
    (entry,) = entry_points(group="mpbuild.rules", name="source")
    assert entry.load() is source.rule


def test_an_action_is_keyed_by_what_is_built_and_what_builds_it():
    changes = (
        {},
        {"source": Digest.of(b"other")},
        {"backend": "another"},
        {"backend_path": ()},
        {"python": "3.13"},
    )
    changed = [msgspec.structs.replace(DATA, **change) for change in changes]
    keys = {
        source.rule(hook, data).action.key for hook in ("requires", "wheel") for data in changed
    }
    assert len(keys) == 2 * len(changes)
    assert source.rule("wheel", DATA).root == DATA.root


def test_it_runs_in_a_sandbox_and_names_its_outputs():
    for hook, outputs in (("requires", ("requires.json",)), ("wheel", ("filename", "wheel"))):
        action = source.rule(hook, DATA).action
        assert (action.executor, action.outputs) == ("sandbox", outputs)
        assert action.inputs == {DATA.filename: DATA.source}
        assert action.environment["SOURCE_DATE_EPOCH"] == "315532800"


def test_a_backend_is_asked_what_else_it_needs(run, tar):
    done, outputs = run("requires", tar(files()))
    assert done.returncode == 0, done.stderr
    assert json.loads(outputs.pop("requires.json")) == ["extra>=1"]
    assert outputs == {}


def test_a_backend_need_not_know_the_question(run, tar):
    done, outputs = run("requires", tar(files("class Backend:\n    class inner: pass\n")))
    assert done.returncode == 0, done.stderr
    assert outputs == {"requires.json": b"[]"}


def test_a_backend_leaves_a_wheel_and_its_name(run, tar):
    done, outputs = run("wheel", tar(files()))
    assert (done.returncode, done.stdout) == (0, "said\n"), done.stderr
    assert outputs == {"filename": b"thing-1.0-py3-none-any.whl", "wheel": b"a wheel"}


def test_zip_files_are_built_alike(run):
    done, outputs = run("wheel", write_zip(files()), filename="thing-1.0.zip")
    assert done.returncode == 0, done.stderr
    assert outputs["wheel"] == b"a wheel"


@pytest.mark.parametrize("backend", ["absent", "own:Backend.absent"])
def test_a_missing_backend_is_reported(run, tar, backend):
    done, outputs = run("wheel", tar(files()), backend=backend)
    assert done.returncode == 1
    assert "absent" in done.stderr.splitlines()[-1]
    assert outputs == {}
