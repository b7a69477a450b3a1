"""What the commands answer about a real package, key by key; paths relative to ``-C``."""

import json
import os
import re
import subprocess

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
COMMON = {"schema", "ok", "findings"}
TARGET = {
    *("label", "package", "images", "pex", "model"),
    *("record", "hermetic", "actions", "seconds", "statements"),
}


def well_formed(answer, command, *keys):
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert answer.json.keys() == {*COMMON, *keys}
    assert answer.json["schema"] == f"mpbuild.{command}/1"
    assert (answer.json["ok"], answer.json["findings"]) == (True, [])
    return answer.json


def is_digest(text):
    return text.startswith("sha256:") and len(text) == 71


def test_build_answers_with_the_package_and_its_children_record_and_actions(digits):
    digits.mpbuild.build()
    (target,) = well_formed(digits.mpbuild.build(), "build", "targets")["targets"]
    assert target.keys() == TARGET
    assert target["label"] == "//examples/digits"
    assert target["package"].keys() == {"digest", "size", "partial"}
    assert target["package"]["partial"] is True, "it is for one accelerator of three"
    for (child,) in (target["images"], target["pex"]):
        assert child.keys() == {"accelerator", "digest", "size"}
        assert (child["accelerator"], is_digest(child["digest"])) == ("cpu", True)
    assert target["model"].keys() == {"digest", "size"}
    assert target["actions"].keys() == {"total", "run", "cached"}
    assert target["hermetic"] is True


def test_the_sizes_are_those_of_the_layout(digits):
    target = digits.mpbuild.build().target
    sizes = {path.name: path.stat().st_size for path in (digits.layout / "blobs/sha256").iterdir()}
    assert target["package"]["size"] == sum(sizes[name] for name in digits.blobs)
    found = digits.mpbuild("inspect", digits.layout).json
    assert found["size"] == target["package"]["size"]
    by_digest = {child["digest"]: child["size"] for child in found["children"]}
    for child in (*target["images"], *target["pex"], target["model"]):
        assert by_digest[child["digest"]] == child["size"]


def test_inspect_answers_with_children_and_layers(digits):
    found = well_formed(
        digits.mpbuild("inspect", digits.layout),
        *("inspect", "digest", "name", "version", "size", "shared", "children", "referrers"),
    )
    assert (found["name"], found["version"]) == ("digits", "1.4.0")
    assert found["digest"] == digits.digest
    kinds = [(child["kind"], child["accelerator"]) for child in found["children"]]
    assert kinds == [("image", "cpu"), ("pex", "cpu"), ("model", "")]
    for child in found["children"]:
        assert child.keys() == {"digest", "kind", "accelerator", "size", "layers"}
        for layer in child["layers"]:
            assert layer.keys() == {"digest", "size", "title", "shared"}
            blob = digits.layout / "blobs/sha256" / layer["digest"][7:]
            assert blob.stat().st_size == layer["size"]
    titles = [[layer["title"] for layer in child["layers"]] for child in found["children"]]
    assert titles[0][0].startswith("base: ")
    assert titles[0][-3:] == ["code", "weights classifier 3.0.0", "spec and locks"]
    assert {".bootstrap", "PEX-INFO", "digits/model.py", "weights/classifier"} <= {*titles[1]}
    assert {"code.tar.gz", "weights/classifier", "spec.json"} <= {*titles[2]}
    (kept,) = found["referrers"]
    assert kept["type"] == "application/vnd.mpbuild.inputs.v1"
    assert kept["subject"] == digits.digest


def test_inspect_says_the_same_wherever_the_package_lies(digits):
    answers = [
        digits.mpbuild("inspect", ref).json
        for ref in (digits.layout, f"{digits.layout}@{digits.digest}", digits.digest)
    ]
    assert answers[0] == answers[1]
    # The store knows of every build of the package, each with its own inputs.
    layout, store = ({**answer, "referrers": []} for answer in answers[1:])
    assert layout == store
    assert all(one in answers[2]["referrers"] for one in answers[0]["referrers"])


def test_fetching_again_fetches_nothing(digits):
    words = ("fetch", "//examples/digits", "--accelerator", "cpu")
    found = well_formed(digits.mpbuild(*words), "fetch", "files", "bytes")
    assert (found["files"], found["bytes"]) == (0, 0)


def test_fetched_wheels_are_placed_for_other_tools(digits, workspace):
    mpbuild = digits.mpbuild._replace(workspace=workspace)
    assert mpbuild("fetch", "--wheels", "--accelerator", "cpu").code == 0
    placed = sorted(
        path.name for path in (workspace / "lockfiles/examples/digits/wheels").iterdir()
    )
    assert len(placed) == len(set(placed)) > 10
    assert {name.rpartition(".")[2] for name in placed} == {"whl"}
    assert mpbuild.build().digest == digits.digest


def test_a_person_is_told_what_runs_in_words(digits, workspace):
    source = workspace / "examples/digits/src/digits/__init__.py"
    source.write_text(source.read_text() + "\nTOLD = True\n")
    words = digits.mpbuild._replace(workspace=workspace).words(*digits.mpbuild.BUILD)
    words = [word for word in words if word not in ("--format", "json")]
    told = subprocess.run(
        words, env=digits.mpbuild.environment, capture_output=True, text=True, check=True
    )
    assert told.stderr == "  layer  code\n"
    assert told.stdout.startswith("//examples/digits  sha256:")
    assert "  partial: not every accelerator\n" in told.stdout
    counts = re.search(r"^  actions  (\d+): 1 run, (\d+) cached", told.stdout, re.MULTILINE)
    assert counts, told.stdout
    assert int(counts[1]) == int(counts[2]) + 1


def test_paths_are_relative_to_the_folder_that_was_named(digits, workspace, tmp_path):
    examples, elsewhere = workspace / "examples", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (examples / "store").symlink_to(digits.mpbuild.store)
    command = [digits.mpbuild.python, "-c", "from mpbuild.cli.main import main; main()"]
    command += ["-C", os.path.relpath(examples, elsewhere), "--store", "store"]

    def run(*words):
        done = subprocess.run(
            [*command, *words],
            cwd=elsewhere,
            env=digits.mpbuild.environment,
            capture_output=True,
            check=True,
        )
        return done.stdout

    run("build", "digits", "--accelerator", "cpu", "--offline", "--output", "../dist")
    assert (workspace / "dist/index.json").is_file()
    for ref in ("digits", "../dist"):
        answer = json.loads(run("run", ref, "--input", "digits/request.json"))
        assert answer["model_name"] == "digits"
    assert list(elsewhere.iterdir()) == []


def test_a_folder_that_holds_something_else_is_not_written_into(digits, workspace):
    kept = workspace / "examples/digits/train.py"
    answer = digits.mpbuild.build("--output", kept.parent)
    assert answer.code == 2
    assert "neither empty nor an OCI layout" in answer.findings[0][1]
    assert sorted(path.name for path in kept.parent.iterdir()) == [
        "README.md",
        "model.toml",
        "request.json",
        "src",
        "train.py",
    ]
