"""``mpbuild-run`` as a process: one answer on stdout, whatever the model does."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mpbuild_runtime

MakeImage = Callable[..., Any]


def model(predict: str, *, load: str = "pass", top: str = "") -> str:
    """The source of a model whose stages do as told, and whose answer is good."""
    return f"""
    import os, sys
    import numpy as np
    {top}
    class Model:
        def __init__(self, weights, accelerator):
            {load}
        def predict(self, inputs, parameters):
            good = {{"y": inputs["x"], "count": np.array([1])}}
            {predict}
            return good
    """


def test_a_request_is_answered_in_the_protocol(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    answer = make_image().run(good_request)
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.document == {
        "model_name": "toy",
        "model_version": "1.2.3",
        "id": "r1",
        "outputs": [
            {"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [0.2, 4.0, 6.0, 9.0]},
            {"name": "count", "shape": [1], "datatype": "INT64", "data": [3]},
        ],
    }


def test_the_entry_point_of_an_image_runs_under_its_own_interpreter(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    script = Path(mpbuild_runtime.__file__).with_name("mpbuild-run")
    assert script.read_text().startswith("#!/opt/venv/bin/python\n")
    image = replace(make_image(), program=(str(script),))
    assert image.run(good_request).document["model_name"] == "toy"


def test_files_that_travel_with_the_weights_are_found_by_name_too(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    image = make_image()
    (image.root / "files" / "offset").write_text("40")
    assert image.run(good_request).document["outputs"][1]["data"] == [43]


@pytest.mark.parametrize("extracted", [False, True], ids=["as it is", "linked into a cache"])
def test_a_pex_answers_as_the_image_does(
    make_image: MakeImage, good_request: dict[str, Any], tmp_path: Path, extracted: bool
) -> None:
    image = make_image()
    root = tmp_path / "model.pex"
    runtime = Path(mpbuild_runtime.__file__).parent
    shutil.copytree(runtime, root / "mpbuild_runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(image.root / "src", root, dirs_exist_ok=True)
    for name in ("weights", "files", "spec.json"):
        (image.root / name).rename(root / name)
    if extracted:  # what the pex bootstrap does: code runs from a folder of links
        stored, root = root, tmp_path / "unzipped"
        root.mkdir()
        for entry in stored.iterdir():
            (root / entry.name).symlink_to(os.path.relpath(entry, root))
    environ = {"PATH": "/usr/bin", "PYTHONPATH": str(root), "MPBUILD_ACCELERATOR": "cpu"}
    answer = image.run(good_request, environ=environ)
    shutil.copytree(root, image.root, dirs_exist_ok=True)
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout == image.run(good_request).stdout


def test_without_a_folder_told_or_beside_it_the_runtime_is_in_an_image(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    image = make_image()
    environ = image.environ | {"MPBUILD_MODEL_ROOT": ""}
    error = image.run(good_request, environ=environ).document["error"]
    assert error.startswith("/opt/model/spec.json is not a spec: FileNotFoundError")


def test_only_the_selected_outputs_are_answered(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    del good_request["id"]
    answer = make_image().run(good_request | {"outputs": [{"name": "count"}]})
    assert [output["name"] for output in answer.document["outputs"]] == ["count"]
    assert "id" not in answer.document


def test_a_bad_request_exits_2_before_the_model_is_loaded(make_image: MakeImage) -> None:
    answer = make_image("raise RuntimeError").run({"inputs": []})
    message = "inputs: 'x' is missing; inputs: 'words' is missing"
    assert answer.code == 2
    assert answer.document == {"error": message}
    assert answer.stderr == f"mpbuild-run: {message}\n"


def test_a_request_over_the_limit_exits_2(make_image: MakeImage) -> None:
    answer = make_image().run(b" " * ((64 << 20) + 1))
    assert answer.code == 2
    assert answer.document == {"error": "request: larger than 64 MiB"}


def test_arguments_are_refused(make_image: MakeImage) -> None:
    answer = make_image().run(b"", "--help")
    assert answer.code == 2
    assert answer.document == {"error": "mpbuild-run takes no arguments: the request is stdin"}


@pytest.mark.parametrize(
    "chatter",
    [
        "print('chatter')",
        "os.write(1, b'chatter')",
        "sys.__stdout__.write('chatter')",
        "os.system('echo chatter')",
    ],
)
def test_what_the_model_prints_goes_to_stderr(
    make_image: MakeImage, good_request: dict[str, Any], chatter: str
) -> None:
    answer = make_image(model(chatter)).run(good_request)
    assert answer.code == 0
    assert answer.document["id"] == "r1"
    assert answer.stderr.strip() == "chatter"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import missing",
            "loading the model failed: ModuleNotFoundError: No module named 'missing'",
        ),
        ("Model = 7", "loading the model failed: TypeError: 'int' object is not callable"),
        (model("pass", top="sys.exit(0)"), "loading the model failed: SystemExit: 0"),
        (model("pass", load="raise OSError('gone')"), "loading the model failed: OSError: gone"),
        (model("raise ValueError('bad day')"), "predict failed: ValueError: bad day"),
        (model("sys.exit()"), "predict failed: SystemExit: "),
        (model("raise KeyboardInterrupt"), "predict failed: KeyboardInterrupt: "),
        (model("inputs['z']"), "predict failed: KeyError: 'z'"),
        (model("raise RecursionError"), "predict failed: RecursionError: "),
    ],
)
def test_a_model_that_fails_exits_1_with_its_traceback_on_stderr(
    make_image: MakeImage, good_request: dict[str, Any], source: str, message: str
) -> None:
    answer = make_image(source).run(good_request)
    assert answer.code == 1
    assert answer.document == {"error": message}
    assert answer.stderr.startswith("Traceback (most recent call last):\n")
    assert answer.stderr.endswith(f"mpbuild-run: {message}\n")


def test_a_model_that_breaks_its_io_exits_1(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    answer = make_image(model("good['y'] = good['y'][0]; del good['count']")).run(good_request)
    assert answer.code == 1
    assert answer.document == {
        "error": "the model broke its [io]: outputs.y: expected shape [-1, 2], not [2]; "
        "outputs.count: missing"
    }


@pytest.mark.parametrize(
    ("predict", "ending"),
    [
        ("os._exit(0)", "exit status 0"),
        ("os._exit(2)", "exit status 2"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("os.abort()", "signal 6"),
    ],
)
def test_a_model_whose_process_dies_still_gets_an_answer(
    make_image: MakeImage, good_request: dict[str, Any], predict: str, ending: str
) -> None:
    answer = make_image(model(predict)).run(good_request)
    assert answer.code == 1
    assert answer.document == {"error": f"the model's process ended without an answer: {ending}"}


@pytest.mark.parametrize(
    "predict",
    [
        "import atexit; atexit.register(os._exit, 3)",
        "import atexit; atexit.register(os.abort)",
        "sys.stdout.close()",
        "os.fork() or __import__('time').sleep(2)",
    ],
)
def test_an_answer_that_was_given_counts_however_the_process_ends(
    make_image: MakeImage, good_request: dict[str, Any], predict: str
) -> None:
    answer = make_image(model(predict)).run(good_request)
    assert answer.code == 0
    assert answer.document["id"] == "r1"


def test_an_image_without_a_readable_spec_exits_1(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    image = make_image()
    (image.root / "spec.json").write_text('{"package": {}}')
    answer = image.run(good_request)
    assert answer.code == 1
    assert answer.document == {"error": f"{image.root}/spec.json is not a spec: KeyError: 'core'"}
    (image.root / "spec.json").unlink()
    assert (
        image.run(good_request)
        .document["error"]
        .startswith(f"{image.root}/spec.json is not a spec: FileNotFoundError")
    )


def test_the_accelerator_must_be_said(make_image: MakeImage, good_request: dict[str, Any]) -> None:
    image = make_image()
    environ = image.environ
    del environ["MPBUILD_ACCELERATOR"]
    answer = image.run(good_request, environ=environ)
    assert answer.code == 1
    assert answer.document == {"error": "MPBUILD_ACCELERATOR is not set; the image or PEX sets it"}


def test_an_interruption_ends_the_model_and_is_reported(
    make_image: MakeImage, good_request: dict[str, Any]
) -> None:
    predict = "print('started', flush=True); __import__('time').sleep(60)"
    process = make_image(model(predict)).start()
    process.stdin.write(json.dumps(good_request).encode())
    process.stdin.close()
    assert process.stderr.readline() == b"started\n"
    process.send_signal(signal.SIGTERM)
    with process:
        answer = json.loads(process.stdout.read())
    assert process.returncode == 1
    assert answer == {"error": "the model's process ended without an answer: signal 15"}
