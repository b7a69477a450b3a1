"""A workspace for three accelerators whose wheels, Debian packages and toolchain are made here.

Weights are fetched from a web server of this machine; nothing else is fetched, and nothing runs.
"""

import contextlib
import hashlib
import http.server
import io
import json
import random
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from mpbuild.app.build import toolchain
from mpbuild.app.lock.lock_files import LockEnvironment, environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.cli.root import run
from mpbuild.derive import image_layers, pex
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult
from mpbuild.formats.archive import tar
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.package.derived_layers import LayerDeriver, layer_task
from mpbuild_rules.bytecode import rule as bytecode_rule
from mpbuild_rules.pex import rule as pex_rule
from tests.making.debs import write_deb
from tests.making.elf import write_shared_object
from tests.making.locks import debian_lock, locked_deb, python_lock
from tests.making.wheels import write_wheel
from tests.making.zips import write_zip

TARGET = "//models/three"
WEIGHTS = random.Random(1).randbytes(5000)
PURE, NATIVE = "py3-none-any", "py3-none-manylinux_2_28_x86_64"
WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal", "libstdc++6"]
"""
MODEL = """\
schema_version = 1
[package]
name = "three"
version = "1.0.0"
summary = "For three accelerators, as small as can be."
owners = ["nobody"]
license = "Apache-2.0"
[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "three.model:Model"
sources = ["src/**/*.py"]
[[core.weights]]
name = "numbers"
version = "1.0.0"
url = "{url}"
sha256 = "{sha256}"
size = {size}
[[core.files]]
name = "labels"
version = "1.0.0"
path = "labels.txt"
[io]
version = "1.0.0"
inputs = [{{ name = "x", datatype = "FP32", shape = [-1] }}]
outputs = [{{ name = "y", datatype = "FP32", shape = [-1] }}]
[environment]
version = "1.0.0"
python = "3.11"
base = "debian-bookworm"
dependencies = ["arrays", "small"]
compile_bytecode = true
[accelerators.cpu]
dependencies = ["engine"]
[accelerators.cuda]
dependencies = ["engine-cuda"]
requires = {{ memory = "2GiB" }}
[accelerators.rocm]
dependencies = ["engine-rocm"]
requires = {{ gfx = ["gfx942"], libraries = ["libamdhip64.so.7"] }}
"""
MODULE = b"class Model:\n    def predict(self, inputs, parameters):\n        return inputs\n"
# What an interpreter would have left; this one is a file of that name.
BYTECODE = {
    "usr/lib/python3.11/__pycache__/abc.cpython-311.pyc": (3495).to_bytes(2, "little")
    + b"\r\n\1\0\0\0"
    + b"as if marshalled"
}


class MadeWheel(NamedTuple):
    """A wheel and its content."""

    name: str
    version: str
    files: Mapping[str, bytes]
    tag: str = PURE

    @property
    def filename(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-{self.tag}.whl"

    @property
    def data(self) -> bytes:
        return write_wheel(self.filename, self.files)


def pure(name: str) -> MadeWheel:
    """A wheel with one module, which has its name."""
    return MadeWheel(name, "1.0", {f"{name}.py": b"answer = 42\n"})


def native(name: str, module: str = "engine", **needs: tuple[str, ...]) -> MadeWheel:
    """A wheel with a shared object that needs these beside the base's C++."""
    libraries = {"libstdc++.so.6": ("GLIBCXX_3.4.30",), **needs}
    versions = {library: names for library, names in libraries.items() if names}
    library = write_shared_object(needed=libraries, needs=versions)
    files = {f"{module}/__init__.py": b"", f"{module}/native.so": library}
    return MadeWheel(name, "1.0", files, NATIVE)


def cuda_runtime(version: str = "13.0.96", *, defines: str = "libcudart.so.13") -> MadeWheel:
    library = write_shared_object(soname="libcudart.so.13", defines=(defines,))
    files = {"nvidia/cu13/lib/libcudart.so.13": library}
    return MadeWheel("nvidia-cuda-runtime", version, files, NATIVE)


ARRAYS = MadeWheel("arrays", "2.0", {"arrays/data.bin": random.Random(2).randbytes(1_200_000)})
SMALL = MadeWheel("small", "2.0", {"small/__init__.py": b"answer = 42\n" * 30})
WHEELS = {
    "cpu": (ARRAYS, SMALL, native("engine")),
    "cuda": (
        *(ARRAYS, SMALL, cuda_runtime()),
        native("engine-cuda", **{"libcuda.so.1": (), "libcudart.so.13": ("libcudart.so.13",)}),
    ),
    "rocm": (ARRAYS, SMALL, native("engine-rocm", **{"libamdhip64.so.7": ("hip_4.2",)})),
}


def base_packages() -> dict[tuple[str, str], bytes]:
    """The base image's packages by name and version: a C++ library and a false interpreter."""
    library = write_shared_object(
        soname="libstdc++.so.6", defines=("GLIBCXX_3.4.29", "GLIBCXX_3.4.30")
    )
    files = {
        ("libstdc++6", "12.2.0-14"): {"./usr/lib/x86_64-linux-gnu/libstdc++.so.6": library},
        ("python3.11-minimal", "3.11.2-6"): {"./usr/bin/python3.11": b"#!/bin/false\n"},
    }
    return {key: write_deb(*key, content) for key, content in files.items()}


def write_locks(environment: LockEnvironment, wheels: tuple[MadeWheel, ...], store: Store) -> None:
    """Write the locks of one environment and put the files that they name into ``store``."""
    files = {wheel.filename: wheel.data for wheel in wheels}
    debs = base_packages()
    for data in (*files.values(), *debs.values()):
        store.put([data])
    environment.folder.mkdir(parents=True, exist_ok=True)
    lock = python_lock(environment.name, files, resolution=environment.python.digest)
    environment.python_file.write_text(pylock.write(lock))
    packages = [locked_deb(*key, data) for key, data in debs.items()]
    debian = debian_lock(environment.name, packages, resolution=environment.debian.digest)
    environment.debian_file.write_text(deblock.write(debian))


class Answer(NamedTuple):
    """How a command ended, and the one object on standard output."""

    code: int
    json: dict[str, Any]

    @property
    def codes(self) -> set[str]:
        """The codes of what is an error."""
        return {f["code"] for f in self.json["findings"] if f["severity"] == "error"}

    @property
    def target(self) -> dict[str, Any]:
        """What ``build`` says of its one target."""
        assert self.code == 0, self.json
        (target,) = self.json["targets"]
        return target

    @property
    def digest(self) -> str:
        return self.target["package"]["digest"]

    @property
    def ran(self) -> set[str]:
        """The actions that ran, by their names in the record."""
        actions = json.loads(Path(self.target["record"]).read_bytes())["actions"]
        return {action["name"] for action in actions if action["result"] == "run"}

    def child(self, kind: str, accelerator: str) -> str:
        """The digest of the image or PEX."""
        (found,) = (one for one in self.target[kind] if one["accelerator"] == accelerator)
        return found["digest"]


class Three(NamedTuple):
    """mpbuild in a workspace for three accelerators, with a store of its own."""

    workspace: Path
    store: Path
    state: Path

    def __call__(self, *words: Any) -> Answer:
        """Run it in this process, where its toolchain is the one made here."""
        out = io.TextIOWrapper(io.BytesIO())
        options = ["-C", self.workspace, "--store", self.store, "--format", "json"]
        with contextlib.ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("XDG_STATE_HOME", str(self.state))
            patch.setenv("no_proxy", "127.0.0.1")
            patch.setenv("MPBUILD_KEY_PASSPHRASE", "")
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            words = (*options, *words)
            code = run([str(word) for word in words], toolchain=self.toolchain.folder)
        return Answer(code, json.loads(out.buffer.getvalue()))

    def build(self, *options: Any) -> Answer:
        """Build it from what the store holds."""
        return self("build", TARGET, "--offline", *options)

    @property
    def spec(self) -> Path:
        return self.workspace / "models/three/model.toml"

    @property
    def toolchain(self) -> LockEnvironment:
        return toolchain.environment(self.workspace / "toolchain")

    def environments(self) -> dict[str, LockEnvironment]:
        """What is locked, by name."""
        found = environments(OpenWorkspace(self.workspace).target(Label(TARGET)))
        return {environment.name: environment for environment in found}

    def lock(self, **wheels: tuple[MadeWheel, ...]) -> None:
        """Lock, some of the accelerators with other wheels than usual.

        What would run in a sandbox, had it an interpreter, is made to be in the cache.
        """
        store = Store(self.store)
        for name, environment in self.environments().items():
            write_locks(environment, {**WHEELS, **wheels}[name], store)
            action = bytecode_rule(name, "3.11", ()).action
            data = b"".join(_tar(BYTECODE))
            self._remember(environment, action, {BYTECODE_FILE: data}, store)

    def prepare(self) -> None:
        """Make the toolchain, and what it makes."""
        store = Store(self.store)
        write_locks(self.toolchain, (MadeWheel("pex", "2.0", {"pex/__init__.py": b""}),), store)
        version = "pex/version.py"
        bootstrap = write_zip({version: b'__version__ = "2.105.2"\n'}, stored={version})
        outputs = {
            pex.BOOTSTRAP_FILE: bootstrap,
            pex.MAIN_FILE: b"#!/usr/bin/env python3.11\n\nboot(\n    pex_hash='%s',\n)\n"
            % (b"0" * 40),
        }
        self._remember(self.toolchain, pex_rule("pex", "3.11", ()).action, outputs, store)

    @staticmethod
    def _remember(
        environment: LockEnvironment, action: Action, outputs: Mapping[str, bytes], store: Store
    ) -> None:
        """That ``action`` was run in ``environment`` and gave these files."""
        locks = EnvironmentLocks(
            pylock.read(environment.python_file.read_text(), file=""),
            deblock.read(environment.debian_file.read_text(), file=""),
        )
        derivation = LayerDeriver(store)
        root: list[Digest] = []
        for plan in image_layers.environment_layers(locks, "3.11"):
            layer = layer_task("", plan, {}).action
            root.append(derivation.run(layer).outputs["layer"].diff_id)
        action = msgspec.structs.replace(action, root=tuple(root))
        kept = {name: store.put([data]) for name, data in outputs.items()}
        store.remember(action, ActionResult(outputs=kept, sandboxed=True))


def _tar(files: Mapping[str, bytes]):
    """The tar that bytecode comes as: folders and files, sorted."""
    folders = {path[:i] for path in files for i, char in enumerate(path) if char == "/"}
    for path in sorted({*files, *folders}, key=str.encode):
        data = files.get(path, b"")
        kind, mode = ("directory", 0o755) if path in folders else ("file", 0o644)
        yield tar.header(tar.TarEntry(path, kind, mode, len(data))) + data + tar.padding(len(data))
    yield tar.END


@pytest.fixture(scope="session")
def wheels() -> SimpleNamespace:
    """What makes wheels, and those of each accelerator as usual."""
    return SimpleNamespace(usual=WHEELS, pure=pure, native=native, cuda_runtime=cuda_runtime)


@pytest.fixture(scope="session")
def server():
    """A web server of this machine that has the weights: its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/numbers.bin"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(WEIGHTS) if found else 0))
            self.end_headers()
            self.wfile.write(WEIGHTS if found else b"")

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


class Whole(NamedTuple):
    """The package for all three, built: what ``build`` said, and its layout."""

    mpbuild: Three
    built: Answer
    layout: Path

    def document(self, digest: str) -> Any:
        """A document of the layout."""
        return json.loads(self.blob(digest).read_bytes())

    def blob(self, digest: str) -> Path:
        """A file of the layout."""
        return self.layout / "blobs/sha256" / digest[7:]

    @property
    def index(self) -> Any:
        return self.document(self.built.digest)

    def children(self, kind: str) -> dict[str, Any]:
        """The manifests of a kind by accelerator, in the order of the index."""
        return {
            child["annotations"].get("dev.mpbuild.accelerator", ""): self.document(child["digest"])
            for child in self.index["manifests"]
            if child["annotations"]["dev.mpbuild.kind"] == kind
        }

    def blobs_of(self, kind: str) -> dict[str, dict[str, str]]:
        """The digests of their layers by title, by accelerator."""
        return {
            accelerator: {title(layer): layer["digest"] for layer in manifest["layers"]}
            for accelerator, manifest in self.children(kind).items()
        }


def title(layer: Any) -> str:
    """What a layer of an image is, or the path of a file of an artifact."""
    annotations = layer["annotations"]
    return annotations.get("dev.mpbuild.layer") or annotations["org.opencontainers.image.title"]


@pytest.fixture(scope="session")
def locked(server, tmp_path_factory) -> Three:
    """A workspace with its locks; its store holds what they name, weights fetched."""
    folder = tmp_path_factory.mktemp("three")
    mpbuild = Three(folder / "workspace", folder / "store", folder / "state")
    model = mpbuild.workspace / "models/three"
    (model / "src/three").mkdir(parents=True)
    (mpbuild.workspace / "mpbuild.toml").write_text(WORKSPACE)
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    url = f"{server}/numbers.bin"
    text = MODEL.format(url=url, sha256=sha256, size=len(WEIGHTS))
    (model / "model.toml").write_text(text)
    (model / "src/three/__init__.py").write_bytes(b"")
    (model / "src/three/model.py").write_bytes(MODULE)
    (model / "labels.txt").write_text("none\nsome\n")
    mpbuild.prepare()
    mpbuild.lock()
    fetched = mpbuild("fetch")
    assert (fetched.code, fetched.json["files"]) == (0, 1), fetched.json
    return mpbuild


@pytest.fixture(scope="session")
def whole(locked, tmp_path_factory) -> Whole:
    """Built once, in a copy of the store."""
    folder = tmp_path_factory.mktemp("whole")
    mpbuild = copy_of(locked, folder)
    built = mpbuild.build("--output", folder / "layout")
    assert built.code == 0, built.json
    return Whole(mpbuild, built, folder / "layout")


def copy_of(mpbuild: Three, folder: Path) -> Three:
    """The same workspace, store and state in another folder."""
    copied = Three(folder / "workspace", folder / "store", folder / "state")
    for source, target in zip(mpbuild, copied, strict=True):
        if source.exists():
            shutil.copytree(source, target)
    return copied


@pytest.fixture
def fresh(locked, tmp_path) -> Three:
    """A copy of the workspace, and a store where nothing was built."""
    return copy_of(locked, tmp_path)


@pytest.fixture
def built(whole, tmp_path) -> Three:
    """A copy of the workspace, and the store in which all was built."""
    return copy_of(whole.mpbuild, tmp_path)
