"""Specs, workspaces, locks and sources that are wrong: each is answered with place and reason."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SPEC = "examples/digits/model.toml"
WORKSPACE = "mpbuild.toml"
SOURCE = "examples/digits/src/digits/model.py"
PYTHON = "lockfiles/examples/digits/pylock.cpu.toml"
DEBIAN = "lockfiles/examples/digits/debian.cpu.toml"
CHECK = ("lock", "--check")
BUILD = ("build", "--offline")


class Wrong(NamedTuple):
    """A file, what is replaced in it and by what (all of it, if nothing), and the first finding."""

    file: str
    old: bytes
    new: bytes
    where: str
    message: str
    code: str = "spec-invalid"
    command: tuple[str, ...] = CHECK


def spec(old, new, line, message, code="spec-invalid", command=CHECK):
    place = f"{SPEC}:{line or line_of(SPEC, old)}"
    return Wrong(SPEC, old.encode(), new.encode(), place, message, code, command)


def settings(old, new, line, message):
    place = f"{WORKSPACE}:{line or line_of(WORKSPACE, old)}"
    return Wrong(WORKSPACE, old.encode(), new.encode(), place, message)


def line_of(file, text):
    """The line on which ``text``, which occurs once, begins."""
    before, _, after = (ROOT / file).read_text().partition(text)
    assert after
    assert text not in after
    return before.count("\n") + 1


def lock(file, old, new, message, code="lock-malformed"):
    return Wrong(file, old.encode(), new.encode(), file, message, code)


NUMPY = 'dependencies = ["numpy>=2"]'
WRONG = {
    # what is not even a document
    "not TOML": spec("[package]", "[package", 3, "not TOML"),
    "twice a key": spec("[core]\n", '[core]\nversion = "1.0.0"\n', 12, "not TOML"),
    "a NUL": spec("Classifies", "\\0".replace("\\0", "\0"), 6, "not TOML: Illegal character"),
    "not UTF-8": Wrong(SPEC, b'"digits"', b'"dig\xffits"', f"{SPEC}:4", "not UTF-8: the byte 0xff"),
    "a byte order mark": Wrong(
        SPEC, b"schema_version", b"\xef\xbb\xbfschema_version", f"{SPEC}:1", "begins with a byte"
    ),
    "endless nesting": Wrong(
        SPEC, b'["vision-team"]', b"[" * 5000 + b"]" * 5000, SPEC, "TOML that is nested too deeply"
    ),
    "an endless number": Wrong(
        SPEC, b"maximum = 10\n", b"maximum = 1%b\n" % (b"0" * 5000), SPEC, "not TOML: Exceeds"
    ),
    "nothing": Wrong(SPEC, b"", b"", f"{SPEC}:1", "missing key schema_version"),
    # what the format does not have
    "an unknown table": spec("[package]", "[pakage]", 1, "missing key package"),
    "an unknown key": spec("summary =", "sumary =", 3, "missing key package.summary"),
    "another version of the format": spec(
        "schema_version = 1", "schema_version = 2", 1, "schema_v"
    ),
    "a type": spec('["vision-team"]', '"vision-team"', 7, "package.owners: expected an array"),
    "a version": spec('"1.4.0"', '"1.4"', 5, "package.version: not a semantic version"),
    "a name": spec('"digits"', '"Digits/../x"', 4, "package.name: not a name"),
    "a licence": spec('"Apache-2.0"', '"Apachi"', 8, "package.license: not an SPDX"),
    "a datatype": spec('"FP32"', '"float"', 28, "io.inputs[0].datatype: 'float' is not one of"),
    "a number": spec("16.0", "nan", 31, "io.inputs[0].maximum: NaN"),
    "a duration": spec('"10m"', '"10 minutes"', None, "steps[0].timeout: not a positive duration"),
    "an entry point": spec("digits.model:Model", "digits.model", 14, "core.entry_point: not an"),
    "what is not built yet": spec(
        "[[steps]]", '[[data]]\nname = "x"\n[[steps]]', None, "data is not", "not-supported-yet"
    ),
    # what does not fit together
    "an interpreter": spec('python = "3.11"', 'python = "3.12"', 52, "environment.python: '3.12'"),
    "a base": spec('"debian-bookworm"', '"debian-x"', 53, "environment.base: no base 'debian-x'"),
    "a step": spec('step = "train"', 'step = "trian"', 20, "core.weights[0].step: no step 'trian'"),
    "an output": spec('output = "c', 'output = "x', 21, "core.weights[0].output: the step"),
    "a step that needs itself": spec(
        '["train.py"]',
        '["step:train/classifier.onnx"]',
        None,
        "steps[0].inputs[0]: a step can't read",
    ),
    "a requirement": spec(
        NUMPY, 'dependencies = ["numpy >> 2"]', 54, "environment.dependencies[0]"
    ),
    "an address": spec(
        NUMPY, 'dependencies = ["numpy @ https://index.example/x.whl"]', 54, "environment.depend"
    ),
    # what lies outside
    "a path from the root": spec(
        "src/**/*.py", "/etc/passwd", 15, "core.sources[0]: '/etc/passwd'"
    ),
    "a path out of the workspace": spec("src/**/*.py", "../../../*", 15, "core.sources[0]"),
    "a pattern without a match": Wrong(
        SPEC, b"src/**/*.py", b"srk/**/*.py", SPEC, "srk/**/*.py matches no file", command=BUILD
    ),
    # the workspace
    "a workspace's table": settings("[workspace]", "[workspac]", 1, "missing key workspace"),
    "a workspace that is not TOML": settings("[workspace]", "= =", 3, "not TOML"),
    "a size": settings('"50GiB"', '"50 GB"', None, "store.maximum: not a positive size"),
    "a folder for locks": settings('"lockfiles"', '"../x"', 10, "lock.directory"),
    # the locks
    "a requirement that is not locked": Wrong(
        SPEC,
        b'["numpy>=2"]',
        b'["numpy>=2", "attrs"]',
        PYTHON,
        "the lock lacks attrs",
        "lock-drift",
    ),
    "an empty lock": Wrong(PYTHON, b"", b"", PYTHON, "`lock-version` is missing", "lock-malformed"),
    "a lock that is not UTF-8": Wrong(
        PYTHON, b"", b"\n\xfe", f"{PYTHON}:2", "not UTF-8: the byte 0xfe", "lock-malformed"
    ),
    "a lock that is not TOML": Wrong(DEBIAN, b"", b"[[[", DEBIAN, "not TOML", "lock-malformed"),
    "a digest": lock(PYTHON, 'sha256 = "', 'sha256 = "zz', "packages[0].wheels[0].hashes.sha256"),
    "a negative size": lock(PYTHON, "size = ", "size = -", "packages[0].wheels[0].size: -"),
    "an address in a lock": lock(
        PYTHON, 'path = "wheels/', 'url = "https://index.example/', "packages[0].wheels[0]: `path`"
    ),
    "an edited lock": Wrong(
        PYTHON, b"\n\n", b"\n\n\n", f"{PYTHON}:6", "the lock was edited", "lock-drift"
    ),
    "a lock with other line ends": Wrong(
        PYTHON, b"\n", b"\r\n", f"{PYTHON}:1", "the lock was edited", "lock-drift"
    ),
    "a path out of the pool": lock(DEBIAN, '"pool/', '"../pool/', "packages[0].path"),
    "a wrong count": lock(DEBIAN, "count = 34", "count = 33", "count: must be 34, not 33"),
    "a lock of another spec": lock(
        DEBIAN,
        'resolution = "sha256:',
        f'resolution = "sha256:{"0" * 64}" # ',
        "the spec has",
        "lock-drift",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_fault_is_reported_with_its_place(in_workspace, workspace, wrong):
    path = workspace / wrong.file
    text = path.read_bytes()
    assert wrong.old in text
    path.write_bytes(text.replace(wrong.old, wrong.new, 1) if wrong.old else wrong.new)
    answer = in_workspace(*wrong.command)
    assert answer.code == 2
    assert answer.err == ""
    first = answer.findings[0]
    assert (first["code"], first["severity"]) == (wrong.code, "error")
    assert f"{first['where']}: {first['message']}".startswith(f"{wrong.where}: {wrong.message}")
    assert len(first["message"]) < 500


def test_all_faults_are_reported_at_once(in_workspace, model):
    text = model.read_text()
    model.write_text(text.replace('"1.4.0"', '"1"').replace('"FP32"', '"F"').replace("10m", "x"))
    answer = in_workspace(*CHECK)
    places = [finding["where"].rpartition(":")[2] for finding in answer.findings]
    assert places == ["5", "28", "36", str(line_of(SPEC, '"10m"'))]


@pytest.mark.parametrize("name", ["sumary", "summry", "Summary"])
def test_a_mistyped_key_is_answered_with_the_right_one(in_workspace, model, name):
    model.write_text(model.read_text().replace("summary =", f"{name} ="))
    messages = [finding["message"] for finding in in_workspace(*CHECK).findings]
    assert f"unknown key package.{name}; did you mean summary?" in messages


def test_each_missing_lock_is_named(in_workspace, workspace):
    names = sorted(path.name for path in (workspace / PYTHON).parent.iterdir())
    for name in names:
        (workspace / PYTHON).with_name(name).unlink()
    for command in (CHECK, BUILD):
        answer = in_workspace(*command)
        assert answer.code == 2
        assert {finding["code"] for finding in answer.findings} == {"lock-missing"}
        assert sorted(os.path.basename(f["where"]) for f in answer.findings) == names  # noqa: PTH119
        assert {finding["hint"] for finding in answer.findings} == {"run `mpbuild lock`"}


@pytest.mark.parametrize(("name", "code"), [(PYTHON, "lock-malformed"), (DEBIAN, "lock-malformed")])
def test_a_folder_in_place_of_a_lock_is_reported(in_workspace, workspace, name, code):
    (workspace / name).unlink()
    (workspace / name).mkdir()
    answer = in_workspace(*CHECK)
    assert answer.code == 2
    (finding,) = answer.findings
    assert (finding["code"], finding["where"]) == (code, name)
    assert finding["message"] == "can't be read: Is a directory"


def test_a_folder_where_the_spec_should_be_is_no_target(in_workspace, model):
    model.unlink()
    model.mkdir()
    answer = in_workspace(*CHECK)
    assert answer.code == 2
    assert answer.findings[0]["message"] == "//... matches no target"


def test_a_pipe_among_the_sources_is_not_waited_for(in_workspace, workspace):
    (workspace / SOURCE).unlink()
    os.mkfifo(workspace / SOURCE)
    answer = in_workspace(*BUILD)
    assert answer.code == 2
    (finding,) = answer.findings
    assert (finding["where"], finding["message"]) == (SOURCE, "is not a regular file")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../outside.py"])
def test_a_source_that_is_a_link_out_of_the_workspace_is_refused(in_workspace, workspace, target):
    (workspace.parent / "outside.py").write_text("SECRET = 1\n")
    (workspace / SOURCE).unlink()
    (workspace / SOURCE).symlink_to(target)
    answer = in_workspace(*BUILD)
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["where"] == SOURCE
    assert finding["message"] == "is a link that leads out of the workspace"


def test_the_locks_of_this_repository_answer_to_their_specs(mpbuild, checkout):
    answer = mpbuild("-C", checkout, "--format", "json", *CHECK)
    assert answer.code == 0, answer.out
