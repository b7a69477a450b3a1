"""``mpbuild init``: a first model that builds as it is, and nothing overwritten."""

import json
import os
import resource
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest

from mpbuild.app.workspace import init
from mpbuild.app.workspace.targets import labels
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.cli.root import run
from mpbuild_runtime import contract, request

MODEL = ["model.toml", "readings.csv", "request.json", "src/model.py", "train.py"]
WORKSPACE = [".gitignore", "mpbuild.toml"]
PROGRAM = (sys.executable, "-c", "from mpbuild.cli.main import main; main()")


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def begin(folder):
    made = init.plan_init(folder)
    init.create_files(made)
    return made


@pytest.fixture
def answer(capfd):
    """``answer(words)``: the exit code, and the one object on standard output."""

    def ask(folder, *words):
        code = run(["-C", str(folder), "--format", "json", *words])
        return code, json.loads(capfd.readouterr().out)

    return ask


@pytest.fixture
def next_steps(capfd, monkeypatch):
    """``next_steps(here, words)``: the commands that init says come next."""

    def ask(here, *words):
        monkeypatch.chdir(here)
        assert run(["init", *words]) == 0
        text = capfd.readouterr().out.partition("\nNext:\n")[2]
        return [line.removeprefix("  ") for line in text.splitlines()]

    return ask


def test_an_empty_folder_becomes_a_workspace_with_a_model_in_first(tmp_path, answer):
    code, told = answer(tmp_path, "init")
    assert code == 0
    made = sorted([*WORKSPACE, *(f"first/{name}" for name in MODEL)])
    assert files(tmp_path) == made
    assert sorted(told["created"]) == made
    assert (told["schema"], told["ok"], told["findings"]) == ("mpbuild.init/1", True, [])


def test_a_folder_that_is_not_there_is_made(tmp_path, answer):
    code, told = answer(tmp_path, "init", "a/b")
    assert code == 0
    assert "a/b/mpbuild.toml" in told["created"]
    assert files(tmp_path / "a/b") == sorted([*WORKSPACE, *(f"first/{name}" for name in MODEL)])


def test_inside_a_workspace_the_folder_itself_becomes_a_model(tmp_path, answer):
    begin(tmp_path)
    before = entries(tmp_path)
    code, told = answer(tmp_path, "init", "vision/cats")
    assert code == 0
    assert sorted(told["created"]) == sorted(f"vision/cats/{name}" for name in MODEL)
    assert files(tmp_path / "vision") == [f"cats/{name}" for name in MODEL]
    assert [name for name in entries(tmp_path) if not name.startswith("vision")] == before


def test_what_was_made_is_a_workspace_and_a_model_without_a_fault(tmp_path):
    made = begin(tmp_path)
    assert made.label == "//first"
    assert labels(tmp_path, [], tmp_path) == ["//first"]
    model = OpenWorkspace(tmp_path).target(made.label).model
    assert model.package.name == "first"
    assert (model.environment.base, model.environment.python) == ("debian-bookworm", "3.11")


@pytest.mark.parametrize(
    ("folder", "name"), [("cats", "cats"), ("My_Model.v2", "my-model-v2"), ("___", "models")]
)
def test_the_package_has_the_name_of_its_folder_as_far_as_it_can(tmp_path, folder, name):
    begin(tmp_path)
    made = begin(tmp_path / folder)
    assert OpenWorkspace(tmp_path).target(made.label).model.package.name == name


def test_the_model_stands_on_the_base_that_the_workspace_has(tmp_path):
    text = 'schema_version = 1\nworkspace.name = "w"\n[bases.slim]\nsuite = "trixie"\n'
    (tmp_path / "mpbuild.toml").write_text(f'{text}packages = ["python3-minimal"]\n')
    made = begin(tmp_path / "m")
    environment = OpenWorkspace(tmp_path).target(made.label).model.environment
    assert (environment.base, environment.python) == ("slim", "3.13")


def test_a_workspace_without_a_base_is_told_so_and_left_alone(tmp_path):
    (tmp_path / "mpbuild.toml").write_text('schema_version = 1\nworkspace.name = "w"\n')
    with pytest.raises(InputError, match="the workspace has no base for the model"):
        init.plan_init(tmp_path / "m")
    assert files(tmp_path) == ["mpbuild.toml"]


def test_every_file_in_the_way_is_named_and_nothing_is_made(tmp_path, answer):
    (tmp_path / "first/src").mkdir(parents=True)
    (tmp_path / "first/train.py").write_text("mine")
    (tmp_path / "first/src/model.py").symlink_to("nowhere")
    before = entries(tmp_path)
    code, told = answer(tmp_path, "init")
    assert code == 2
    assert [(f["code"], f["message"], f["where"]) for f in told["findings"]] == [
        ("usage", "already exists", str(tmp_path / "first/src/model.py")),
        ("usage", "already exists", str(tmp_path / "first/train.py")),
    ]
    assert entries(tmp_path) == before
    assert (tmp_path / "first/train.py").read_text() == "mine"


def test_beginning_twice_changes_nothing(tmp_path, answer):
    begin(tmp_path)
    (tmp_path / "first/model.toml").write_text("changed")
    code, told = answer(tmp_path, "init")
    assert code == 2
    assert {finding["message"] for finding in told["findings"]} == {"already exists"}
    assert (tmp_path / "first/model.toml").read_text() == "changed"


def test_an_existing_gitignore_is_kept_and_a_note_says_what_it_lacks(tmp_path, answer):
    (tmp_path / ".gitignore").write_text("mine\n")
    code, told = answer(tmp_path, "init")
    (note,) = told["findings"]
    assert (code, note["severity"], note["where"]) == (0, "note", str(tmp_path / ".gitignore"))
    assert "lockfiles/**/wheels/" in note["hint"]
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        init.plan_init(tmp_path / "file/below")


def test_a_folder_that_no_label_can_name_is_refused_before_anything_is_made(tmp_path):
    begin(tmp_path)
    before = entries(tmp_path)
    with pytest.raises(InputError, match="not a label"):
        init.plan_init(tmp_path / "a b")
    assert entries(tmp_path) == before


def test_a_file_that_came_meanwhile_is_kept_and_the_rest_is_taken_back(tmp_path):
    made = init.plan_init(tmp_path / "new")
    (tmp_path / "new/first").mkdir(parents=True)
    (tmp_path / "new/first/model.toml").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        init.create_files(made)
    assert files(tmp_path) == ["new/first/model.toml"]
    assert (tmp_path / "new/first/model.toml").read_text() == "mine"
    assert entries(tmp_path) == ["new", "new/first", "new/first/model.toml"]


def test_where_the_disk_fails_nothing_half_written_remains(tmp_path):
    made = init.plan_init(tmp_path / "new")
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, largest[1]))
    try:
        with pytest.raises(EnvironmentFailureError):
            init.create_files(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, largest)
    assert entries(tmp_path) == []


def test_the_next_commands_are_reported_as_they_work_from_where_it_was_given(tmp_path, next_steps):
    assert next_steps(tmp_path, "a b") == [
        "cd 'a b'",
        "mpbuild lock //first",
        "mpbuild build //first",
        "mpbuild run //first --input first/request.json",
    ]
    below = tmp_path / "a b/vision"
    below.mkdir()
    assert next_steps(below, "cats")[-1] == ("mpbuild run //vision/cats --input cats/request.json")
    assert next_steps(below, "../dogs")[-1].endswith(
        shlex.quote(str(tmp_path / "a b/dogs/request.json"))
    )


def test_training_gives_the_same_bytes_each_time_and_the_model_answers_the_request(tmp_path):
    made = begin(tmp_path)
    weights = [tmp_path / "one.npy", tmp_path / "two.npy"]
    for path in weights:
        command = [sys.executable, "train.py", "--data", "readings.csv", "--out", str(path)]
        subprocess.run(command, cwd=made.model, check=True)
    assert weights[0].read_bytes() == weights[1].read_bytes()
    spec = OpenWorkspace(tmp_path).target(made.label).document
    asked = request.decode((made.model / "request.json").read_bytes(), contract.parse(spec))
    model = runpy.run_path(str(made.model / "src/model.py"))["Model"]({"line": weights[0]}, "cpu")
    answer = model.predict(asked.inputs, asked.parameters)["fahrenheit"]
    assert answer.dtype == np.float32
    assert np.abs(answer - [32.0, 77.0, 98.6]).max() < 0.5


@pytest.mark.network
@pytest.mark.sandbox
def test_the_next_commands_lock_build_and_run_the_model(tmp_path, next_steps, shared_store):
    commands = next_steps(tmp_path, "w")
    environment = os.environ | {
        "MPBUILD_STORE": str(shared_store),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    assert commands.pop(0) == "cd w"
    for command in commands:
        went = subprocess.run(
            [*PROGRAM, *shlex.split(command)[1:]],
            cwd=tmp_path / "w",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if went.returncode == 3 and "lock" in command:
            pytest.skip(f"nothing can be locked here: {went.stderr.strip()}")
        assert went.returncode == 0, f"{command}\n{went.stderr}"
    (output,) = json.loads(went.stdout)["outputs"]
    assert (output["name"], output["data"]) == ("fahrenheit", [31.9, 76.9, 98.5])
