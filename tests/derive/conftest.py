"""Makes small wheels, Debian packages and ELF files, and derives layers from them."""

import base64
import csv
import gzip as python_gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zipfile
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


def record_hash(content):
    return (
        "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    )


def wheel(files, *, name="demo", version="1.0", entry_points="", stored=(), executable=()):
    """A valid wheel of ``files`` (path to bytes), written by the standard library's zipfile."""
    info = f"{name}-{version}.dist-info"
    everything = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        everything[f"{info}/entry_points.txt"] = entry_points.encode()
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerows((path, record_hash(data), len(data)) for path, data in everything.items())
    writer.writerow((f"{info}/RECORD", "", ""))
    everything[f"{info}/RECORD"] = rows.getvalue().encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in everything.items():
            member = zipfile.ZipInfo(path)
            member.compress_type = zipfile.ZIP_STORED if path in stored else zipfile.ZIP_DEFLATED
            member.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(member, data)
    return out.getvalue()


def tar(members):
    """A tar of (path, content): bytes, None for a folder, ``->x`` a symbolic, ``=>x`` a hard link.

    A third value is the mode.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, what, *mode in members:
            info = tarfile.TarInfo(path)
            info.mode = mode[0] if mode else 0o755 if what is None else 0o644
            data = b""
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                info.type = tarfile.SYMTYPE if what.startswith("->") else tarfile.LNKTYPE
                info.linkname = what[2:]
            else:
                data, info.size = what, len(what)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def deb(members, *, name="demo", version="1.0-1", scripts=None):
    """A Debian package of ``members``, as ``tar`` takes them, and maintainer scripts."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nDescription: made up\n"
    controls = {"control": control} | (scripts or {})
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(tar([(f"./{n}", t.encode()) for n, t in controls.items()])),
        "data.tar.xz": lzma.compress(tar([("./", None), *members])),
    }
    out = b"!<arch>\n"
    for part, data in parts.items():
        out += f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def elf(
    *, needed=(), soname=None, rpath=None, runpath=None, needs=None, defines=(), gap=0, after=0
):
    """A 64-bit shared object: ``needs`` maps a library to versions, ``defines`` are versions.

    ``gap`` and ``after`` are bytes of nothing in front of the tables and behind them.
    """
    strings = bytearray(b"\0")

    def text(value):
        strings.extend(value.encode() + b"\0")
        return len(strings) - len(value.encode()) - 1

    tags = [(1, text(library)) for library in needed]
    tags += [(t, text(v)) for t, v in ((14, soname), (15, rpath), (29, runpath)) if v is not None]
    verneed = b""
    for i, (library, versions) in enumerate((needs or {}).items()):
        last = i == len(needs) - 1
        verneed += struct.pack(
            "<2H3L", 1, len(versions), text(library), 16, 0 if last else 16 + 16 * len(versions)
        )
        for j, version in enumerate(versions):
            following = 0 if j == len(versions) - 1 else 16
            verneed += struct.pack("<L2H2L", 0, 0, 2, text(version), following)
    verdef = b""
    names = [soname or "base", *defines] if defines else []
    for i, version in enumerate(names):
        following = 0 if i == len(names) - 1 else 28
        verdef += struct.pack("<4H3L", 1, not i, i + 1, 1, 0, 20, following)
        verdef += struct.pack("<2L", text(version), 0)
    base, start = 0x1000, 64 + 2 * 56 + gap
    at_need, at_def = start + len(strings), start + len(strings) + len(verneed)
    at_tags = at_def + len(verdef)
    if verneed:
        tags += [(0x6FFFFFFE, base + at_need), (0x6FFFFFFF, len(needs))]
    if verdef:
        tags += [(0x6FFFFFFC, base + at_def), (0x6FFFFFFD, len(names))]
    tags += [(5, base + start), (10, len(strings)), (0, 0)]
    table = b"".join(struct.pack("<2Q", *tag) for tag in tags)
    size = at_tags + len(table)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16s2HL3QL6H", ident, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    head += struct.pack("<2L6Q", 1, 5, 0, base, base, size, size, 4096)
    head += struct.pack(
        "<2L6Q", 2, 6, at_tags, base + at_tags, base + at_tags, len(table), len(table), 8
    )
    return head + bytes(gap) + bytes(strings) + verneed + verdef + table + bytes(after)


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
        elf=elf,
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
