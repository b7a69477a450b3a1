"""A toy model in a made-up image root, and ``mpbuild-run`` as a process beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import mpbuild_runtime
from mpbuild_runtime import contract

SPEC: dict[str, Any] = {
    "schema_version": 1,
    "package": {"name": "toy", "version": "1.2.3"},
    "core": {
        "version": "3.0.0",
        "entry_point": "toy.model:Model",
        "weights": [{"name": "factor", "version": "1.0.0", "path": "factor.txt"}],
        "files": [{"name": "offset", "version": "1.0.0", "path": "offset.txt"}],
    },
    "io": {
        "version": "2.0.0",
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [-1, 2],
                "minimum": -10,
                "maximum": 16.5,
                "description": "Pairs.",
            },
            {"name": "words", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 2], "maximum": 1000},
            {"name": "count", "datatype": "INT64", "shape": [1], "minimum": 0},
        ],
        "parameters": [
            {"name": "top", "datatype": "INT64", "default": 3, "minimum": 1, "maximum": 10},
            {"name": "scale", "datatype": "FP32", "default": 1, "maximum": 0.1e2},
            {"name": "label", "datatype": "BYTES", "default": "none"},
            {"name": "exact", "datatype": "BOOL", "default": False},
        ],
    },
}

MODEL = """
    import numpy as np

    class Model:
        def __init__(self, weights, accelerator):
            self.factor = float(weights["factor"].read_text())
            self.offset = int(weights["offset"].read_text())

        def predict(self, inputs, parameters):
            y = inputs["x"] * np.float32(self.factor * parameters["scale"])
            return {"y": y, "count": np.array([len(inputs["words"]) + self.offset])}
"""


@dataclass(frozen=True)
class Answer:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        assert self.stdout.count("\n") == 1, "one line of JSON"
        assert self.stdout.endswith("\n"), "one line of JSON"
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Image:
    """The folder that stands for /opt/model, and how to run what is in it."""

    root: Path
    program: tuple[str, ...] = ("-m", "mpbuild_runtime")

    @property
    def environ(self) -> dict[str, str]:
        runtime = Path(mpbuild_runtime.__file__).parents[1]
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self.root}/src:{runtime}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPBUILD_MODEL_ROOT": str(self.root),
            "MPBUILD_ACCELERATOR": "cpu",
        }

    def start(self, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.root,
            env=environ or self.environ,
        )

    def run(
        self, request: object, *arguments: str, environ: dict[str, str] | None = None
    ) -> Answer:
        data = request if isinstance(request, bytes) else json.dumps(request).encode()
        process = self.start(*arguments, environ=environ)
        stdout, stderr = process.communicate(data, timeout=60)
        return Answer(process.returncode, stdout.decode(), stderr.decode())


@pytest.fixture
def toy_contract() -> contract.Contract:
    return contract.parse(SPEC)


@pytest.fixture
def make_image(tmp_path: Path) -> Callable[[str], Image]:
    """Make an image whose model module has the given source, and whose spec is SPEC and more."""

    def make(source: str = MODEL, **more: Any) -> Image:
        package = tmp_path / "src" / "toy"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.py").write_text(dedent(source))
        for folder, name, text in (("weights", "factor", "2"), ("files", "offset", "0")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / name).write_text(text)
        (tmp_path / "spec.json").write_text(json.dumps(SPEC | more))
        return Image(tmp_path)

    return make


@pytest.fixture
def good_request() -> dict[str, Any]:
    return {
        "id": "r1",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[0.1, 2], [3, 4.5]]},
            {"name": "words", "datatype": "BYTES", "shape": [3], "data": ["a", "é", ""]},
        ],
    }
