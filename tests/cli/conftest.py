"""The command line as a process, and the example's workspace to be spoiled."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAM = (sys.executable, "-c", "from mpbuild.cli.main import main; main()")
WORKSPACE = ("mpbuild.toml", "examples/digits", "lockfiles/examples/digits")


class Answer(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def findings(self):
        """The findings, each with all of its keys."""
        found = self.json["findings"]
        for finding in found:
            assert list(finding) == ["code", "severity", "where", "message", "hint"]
            assert finding["severity"] in ("error", "warning", "note")
            assert finding["code"]
            assert finding["message"]
        return found


@pytest.fixture
def environment(tmp_path):
    """That of a person with a home of their own, where nothing is installed or configured."""
    home = tmp_path / "home"
    home.mkdir()
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.fixture
def mpbuild(environment, tmp_path):
    """``mpbuild(*words)``: run to its end in an empty folder, with that environment.

    ``before`` is a command that starts it, ``variables`` are more of the environment (None takes
    one away), and further options are those of ``subprocess.run``.
    """

    def run(*words, cwd=tmp_path, before=(), shows_traceback=False, **options):
        command = [*before, *PROGRAM, *(os.fspath(word) for word in words)]
        variables = {**environment, **options.pop("variables", {})}
        variables = {name: value for name, value in variables.items() if value is not None}
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        done = subprocess.run(
            command, cwd=cwd, env=variables, check=False, timeout=120, **{**streams, **options}
        )
        out, err = done.stdout or b"", done.stderr or b""
        assert (b"Traceback" in err) == shows_traceback, err.decode()
        return Answer(done.returncode, out.decode(), err.decode("utf-8", "backslashreplace"))

    return run


@pytest.fixture
def workspace(checkout, tmp_path):
    """A copy of the example's workspace."""
    folder = tmp_path / "workspace"
    for name in WORKSPACE:
        source, target = checkout / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copyfile(source, target)
        else:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "wheels"))
    return folder


@pytest.fixture
def in_workspace(mpbuild, workspace):
    """``in_workspace(*words)``: run there, with JSON for an answer."""
    return lambda *words, **options: mpbuild("-C", workspace, "--format", "json", *words, **options)


@pytest.fixture
def model(workspace):
    """The spec of the workspace's one target."""
    return Path(workspace, "examples/digits/model.toml")
