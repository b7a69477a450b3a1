"""A good workspace and a good model, and ways to read variations of them."""

from collections.abc import Callable

import pytest

from mpbuild.base.errors import Finding, InputError
from mpbuild.spec.model import Model
from mpbuild.spec.read import read_model, read_workspace
from mpbuild.spec.workspace import Workspace

WORKSPACE = """\
schema_version = 1

[workspace]
name = "models"
ignore = ["third_party"]

[indexes]
default = {}

[lock]
directory = "lockfiles"

[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal", "libstdc++6"]

[bases.debian-trixie]
suite = "trixie"
packages = ["python3.13-minimal"]
mirrors = ["https://mirror.example/debian"]
keyring = "keys/archive.asc"

[store]
path = "~/.cache/mpbuild"
maximum = "50GiB"
"""

MODEL = """\
schema_version = 1

[package]                                # what is released
name = "digits"
version = "1.4.0"
summary = "Classifies 8x8 pictures of handwritten digits."
owners = ["vision-team"]
license = "Apache-2.0"

[core]
version = "3.0.0"
task = "image-classification"
format = "onnx"
entry_point = "digits.model:Model"
sources = [
  "src/**/*.py",
  "../common/*.py",
]

[[core.weights]]
name = "classifier"
version = "3.0.0"
step = "train"
output = "classifier.onnx"

[[core.weights]]
name = "vocabulary"
version = "1.0.0"
path = "weights/vocabulary.bin"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

[io]
version = "2.0.0"

[[io.inputs]]
name = "pixels"
datatype = "FP32"
shape = [-1, 64]
minimum = 0
maximum = 16.0
description = "Rows of 8x8 grey values."

[[io.outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 10]

[[io.parameters]]
name = "top_k"
datatype = "INT64"
default = 10
minimum = 1
maximum = 10

[environment]
version = "1.1.0"
python = "3.11"
base = "debian-bookworm"
dependencies = ["numpy>=2"]
system = ["libgomp1"]

[accelerators.cpu]
dependencies = ["onnxruntime>=1.20"]

[environments.train]
dependencies = ["scikit-learn", "skl2onnx"]

[environments.newer]
base = "debian-trixie"
python = "3.13"

[[steps]]
name = "prepare"
command = ["python", "prepare.py", "{out}/rows.npy"]
inputs = ["prepare.py", "data/*.csv"]
outputs = ["rows.npy"]
environment = "newer"

[[steps]]
name = "train"
command = ["python", "train.py", "--out={out}"]
inputs = ["train.py", "step:prepare/rows.npy"]
outputs = ["classifier.onnx", "log/metrics.json"]
environment = "train"
reproducible = true
timeout = "10m"
"""


@pytest.fixture(scope="session")
def workspace_text() -> str:
    return WORKSPACE


@pytest.fixture(scope="session")
def model_text() -> str:
    return MODEL


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    return read_workspace(WORKSPACE, file="mpbuild.toml")


@pytest.fixture(scope="session")
def model(workspace: Workspace) -> Model:
    return read_model(MODEL, file="model.toml", folder="models/digits", workspace=workspace)


@pytest.fixture(scope="session")
def findings_of_model(workspace: Workspace) -> Callable[[str], tuple[Finding, ...]]:
    """What is wrong with a model.toml that lies in models/digits."""

    def findings(text: str) -> tuple[Finding, ...]:
        try:
            read_model(text, file="model.toml", folder="models/digits", workspace=workspace)
        except InputError as error:
            return error.findings
        return ()

    return findings


@pytest.fixture(scope="session")
def findings_of_workspace() -> Callable[[str], tuple[Finding, ...]]:
    """What is wrong with an mpbuild.toml."""

    def findings(text: str) -> tuple[Finding, ...]:
        try:
            read_workspace(text, file="mpbuild.toml")
        except InputError as error:
            return error.findings
        return ()

    return findings
