"""Small wheels and Debian packages, and layers derived from them."""

import gzip as python_gzip
import io
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpbuild.base.digest import Digest
from mpbuild.derive.elf_needs import read_needs
from mpbuild.derive.layers import derive_layer
from mpbuild.derive.layers.alternatives import encode
from mpbuild.derive.layers.layer_plan import DEBS, FILES, STORED, WHEELS, LayerPlan
from mpbuild.formats.archive.tar import END, TarEntry, header, padding
from mpbuild.spec.model import Model
from mpbuild.spec.read import read_model, read_workspace
from tests.making.debs import write_deb
from tests.making.elf import write_shared_object
from tests.making.wheels import record_hash, write_wheel

MODEL = """\
schema_version = 1

[package]
name = "digits"
version = "1.4.0"
summary = "Classifies pictures of handwritten digits."
owners = ["vision-team", "data-team"]
license = "Apache-2.0"

[core]
version = "3.0.0"
task = "image-classification"
format = "onnx"
entry_point = "digits.model:Model"
sources = ["src/**/*.py", "extra.py"]

[[core.weights]]
name = "classifier"
version = "3.0.0"
step = "train"
output = "classifier.onnx"

[[core.weights]]
name = "labels"
version = "1.0.0"
path = "weights/labels.bin"

[io]
version = "2.0.0"
inputs = [{ name = "pixels", datatype = "FP32", shape = [-1, 64] }]
outputs = [{ name = "probabilities", datatype = "FP32", shape = [-1, 10] }]

[environment]
version = "1.1.0"
python = "3.11"
base = "debian-bookworm"

[accelerators.cpu]

[environments.train]

[[steps]]
name = "train"
command = ["python", "train.py", "{out}/classifier.onnx"]
inputs = ["train.py"]
outputs = ["classifier.onnx"]
environment = "train"
"""

WORKSPACE = """\
schema_version = 1
[workspace]
name = "models"
[indexes]
default = {}
[lock]
directory = "lockfiles"
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""


def wheel(files, *, name="demo", version="1.0", **options):
    """A pure wheel of ``files``."""
    return write_wheel(f"{name}-{version}-py3-none-any.whl", files, **options)


def deb(members, *, name="demo", version="1.0-1", scripts=None):
    """A Debian package of ``members`` and the root folder."""
    return write_deb(name, version, [("./", None), *members], scripts)


def bytecode_tar(files):
    """The tar of a bytecode layer: ``files`` (path to bytes) and their folders, sorted."""
    folders = {path[:i] for path in files for i, c in enumerate(path) if c == "/"}
    out = b""
    for path in sorted({*files, *folders}, key=str.encode):
        data = files.get(path, b"")
        kind, mode = ("directory", 0o755) if path in folders else ("file", 0o644)
        out += header(TarEntry(path, kind, mode, len(data))) + data + padding(len(data))
    return out + END


class Made:
    """A layer derived from inputs: descriptor, blob, plain tar and ELF needs, all consistent."""

    def __init__(self, rule, inputs, *, executable=(), **parameters):
        digests = {name: Digest.of(data) for name, data in inputs.items()}
        self.plan = LayerPlan(
            rule=rule, title="", inputs=digests, executable=executable, parameters=parameters
        )
        derived = derive_layer.derive(self.plan, inputs)
        self.layer = derived.layer
        self.needs = read_needs(derived.needs)
        self.needs_bytes = derived.needs
        self.blob = b"".join(derive_layer.blob(self.plan, inputs))
        self.tar = python_gzip.decompress(self.blob)
        assert self.layer.digest == Digest.of(self.blob)
        assert self.layer.size == len(self.blob)
        assert self.layer.diff_id == Digest.of(self.tar)

    def members(self):
        """The members, as read by Python's tarfile, by path."""
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as archive:
            return {member.name: member for member in archive}

    def read(self, path):
        """The bytes of a file, following links."""
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as archive:
            return archive.extractfile(path).read()


def wheel_layer(wheels, python="3.11"):
    return Made(WHEELS, wheels, python=python)


def deb_layer(debs, python="3.11", *, base=False, links=()):
    more = {"links": encode(links)} if links else {}
    return Made(DEBS, debs, python=python, base=base, **more)


def file_layer(files, executable=(), *, stored=False):
    return Made(STORED if stored else FILES, files, executable=executable)


@pytest.fixture(scope="session")
def make():
    """The functions that make test inputs, by name."""
    return SimpleNamespace(
        bytecode_tar=bytecode_tar,
        deb=deb,
        deb_layer=deb_layer,
        elf=write_shared_object,
        file_layer=file_layer,
        layer=Made,
        record_hash=record_hash,
        wheel=wheel,
        wheel_layer=wheel_layer,
    )


class Golden:
    """The files with the expected bytes; ``--renew-golden`` writes them."""

    folder = Path(__file__).parent / "golden"

    def __init__(self, *, renew):
        self._renew = renew

    def input(self, name, data):
        """A fixed input, which is never renewed: today's compressor may differ."""
        path = self.folder / name
        if self._renew and not path.exists():
            path.write_bytes(data())
        return path.read_bytes()

    def check(self, name, data):
        """Asserts that ``data`` equals the file."""
        path = self.folder / name
        if self._renew:
            path.write_bytes(data)
        assert data == path.read_bytes(), f"{name}: derived bytes changed, so the format has"


@pytest.fixture(scope="session")
def golden(request):
    """The golden files, to compare or to renew."""
    return Golden(renew=request.config.getoption("--renew-golden"))


@pytest.fixture(scope="session")
def model() -> Model:
    """A model with two files of weights and a step, for cpu only."""
    workspace = read_workspace(WORKSPACE, file="mpbuild.toml")
    return read_model(MODEL, file="model.toml", folder="digits", workspace=workspace)
