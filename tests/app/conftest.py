"""A tiny package, really built and really signed, and the tools to attack it with."""

import gzip as stdlib_gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from mpbuild.app.build import toolchain
from mpbuild.app.build.build import build
from mpbuild.app.build.build_result import BuildResult
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.lock.lock_files import LockEnvironment, environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.attest.provenance import LOCAL_BUILDER, provenance
from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.cli.root import run
from mpbuild.derive import image_layers, pex
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.effects.installation import find_installation
from mpbuild.effects.signers.key_signer import KeySigner, make_pair
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace.snapshot import Snapshot
from mpbuild.engine.action import ActionResult
from mpbuild.formats.debian import deblock
from mpbuild.formats.evidence import bundle, dsse, record, statement
from mpbuild.formats.oci import oci, referrer
from mpbuild.formats.python import pylock
from mpbuild.package import referrers
from mpbuild.package.derived_layers import LayerDeriver, layer_task
from mpbuild.package.write_layout import write_layout
from mpbuild.verify.key_verifier import read_public_key
from mpbuild_rules.pex import rule as pex_rule
from tests.making.debs import write_deb
from tests.making.locks import debian_lock, locked_deb, python_lock
from tests.making.tars import write_tar
from tests.making.wheels import write_wheel
from tests.making.zips import write_zip

WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""
MODEL = """\
schema_version = 1
[package]
name = "tiny"
version = "1.0.0"
summary = "As small as a model can be."
owners = ["nobody"]
license = "Apache-2.0"
[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "tiny.model:Model"
sources = ["src/**/*.py"]
[[core.weights]]
name = "numbers"
version = "1.0.0"
path = "weights/numbers.bin"
[io]
version = "1.0.0"
inputs = [{ name = "x", datatype = "FP32", shape = [-1] }]
outputs = [{ name = "y", datatype = "FP32", shape = [-1] }]
[environment]
version = "1.0.0"
python = "3.11"
base = "debian-bookworm"
dependencies = ["numpy"]
[accelerators.cpu]
dependencies = ["tinynumbers"]
"""
LABEL = Label("//models/tiny")
PYTHON = "python3.11-minimal"
CODE = "opt/model/src/tiny/model.py"
MODULE = "class Model:\n    def predict(self, inputs, parameters):\n        return inputs\n"
# Whoever runs or imports anything of the package leaves this behind.
TELLTALE = "import os, pathlib\npathlib.Path(os.environ['TELLTALE']).touch()\n"


class Nobody:
    """Watches a build and says nothing."""

    def started(self, name): ...
    def finished(self, name, *, cached): ...
    def fetching(self, files, size): ...
    def received(self, count): ...
    def reached(self, stage): ...


class Stock:
    """Makes wheels and a Debian package, and workspaces and locks that name them."""

    def workspace(self, root: Path, store: Store) -> Path:
        """A workspace whose locks name files made here, which are put into ``store``."""
        folder = root / LABEL.path
        (folder / "src/tiny").mkdir(parents=True)
        (folder / "weights").mkdir()
        (root / "mpbuild.toml").write_text(WORKSPACE)
        (folder / "model.toml").write_text(MODEL)
        (folder / "src/tiny/__init__.py").write_text(TELLTALE)
        (folder / "src/tiny/model.py").write_text(MODULE)
        (folder / "weights/numbers.bin").write_bytes(bytes(range(256)) * 16)
        self.lock(root, store)
        return root

    def lock(self, root: Path, store: Store) -> None:
        """Write the locks that the workspace's spec asks for."""
        for environment in environments(OpenWorkspace(root).target(LABEL)):
            self.write_locks(environment, store, "numpy", "tinynumbers")

    def write_locks(self, environment: LockEnvironment, store: Store, *names: str) -> None:
        """Locks of packages that are made here and put into ``store``, all in version 2.0."""
        python = write_deb(PYTHON, "3.11.2-6", {"./usr/bin/python3.11": b"#!/bin/false\n"})
        wheels = {
            f"{name}-2.0-py3-none-any.whl": write_wheel(
                f"{name}-2.0-py3-none-any.whl",
                {f"{name}/__init__.py": b"answer = 42\n" * 30, f"{name}.pth": b"import sys\n"},
            )
            for name in names
        }
        for data in (python, *wheels.values()):
            store.put([data])
        environment.folder.mkdir(parents=True, exist_ok=True)
        lock = python_lock(environment.name, wheels, resolution=environment.python.digest)
        environment.python_file.write_text(pylock.write(lock))
        packages = [locked_deb(PYTHON, "3.11.2-6", python)]
        debian = debian_lock(environment.name, packages, resolution=environment.debian.digest)
        environment.debian_file.write_text(deblock.write(debian))


@pytest.fixture(scope="session")
def stock() -> Stock:
    return Stock()


class Toolchain:
    """A toolchain as small as the package: its files, and what its one action gives.

    That action was run elsewhere, so to say, and its result is in the cache.
    """

    MAIN = b"#!/usr/bin/env python3.11\n\nboot(\n    pex_hash='%s',\n)\n" % (b"0" * 40)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = toolchain.environment(folder)

    def prepare(self, store: Store, stock: Stock) -> None:
        """Put everything into ``store``."""
        stock.write_locks(self.environment, store, "pex")
        locks = toolchain.read_toolchain(self.folder).locks
        derivation = LayerDeriver(store)
        layers = []
        for plan in image_layers.environment_layers(locks, "3.11"):
            action = layer_task("", plan, lambda _, leaf: leaf).action
            result = derivation.run(action)
            store.remember(action, result)
            layers.append(result.outputs["layer"].diff_id)
        action = msgspec.structs.replace(pex_rule("pex", "3.11", ()).action, root=tuple(layers))
        outputs = {
            pex.BOOTSTRAP_FILE: store.put([self.bootstrap()]),
            pex.MAIN_FILE: store.put([self.MAIN]),
        }
        store.remember(action, ActionResult(outputs=outputs, sandboxed=True))

    @staticmethod
    def bootstrap() -> bytes:
        version = "pex/version.py"
        return write_zip({version: b'__version__ = "2.105.2"\n'}, stored={version})


def build_tiny(
    root: Path, store: Store, toolchain: Toolchain, observer=None, sandbox="bwrap"
) -> BuildResult:
    """Build the workspace at ``root`` from what ``store`` holds."""
    return build(
        Snapshot(root, store),
        LABEL,
        store,
        BuildOptions(offline=True, sandbox=sandbox),
        observer or Nobody(),
        find_installation(toolchain.folder),
    )


@pytest.fixture
def build_again(small_toolchain) -> Callable[..., BuildResult]:
    """``build_again(root, store, observer=None)``: what a build without a memo gives."""
    return lambda root, store, observer=None: build_tiny(root, store, small_toolchain, observer)


@pytest.fixture(scope="session")
def small_toolchain(tmp_path_factory) -> Toolchain:
    return Toolchain(tmp_path_factory.mktemp("toolchain"))


class Key(NamedTuple):
    """A pair on disk."""

    private: Path
    public: Path

    @property
    def signer(self) -> KeySigner:
        return KeySigner(self.private, None)

    @property
    def hint(self) -> str:
        return read_public_key(self.public.read_bytes(), where="").hint

    def envelope(self, payload: bytes, payload_type: str = dsse.IN_TOTO) -> bundle.Bundle:
        """``payload``, signed as it should be."""
        return self.signer.sign(payload_type, payload)

    def sign(self, payload: bytes, payload_type: str = dsse.IN_TOTO) -> bytes:
        """The bundle."""
        return bundle.encode(self.envelope(payload, payload_type))


class Answer(NamedTuple):
    """What ``mpbuild --format json`` said, and how it ended."""

    code: int
    json: dict[str, Any]

    @property
    def errors(self) -> set[str]:
        """The codes of what makes the verdict."""
        return {f["code"] for f in self.json["findings"] if f["severity"] == "error"}

    @property
    def notes(self) -> set[str]:
        return {f["code"] for f in self.json["findings"] if f["severity"] == "note"}

    @property
    def passed(self) -> bool:
        assert (self.code == 0) == (self.json["verdict"] == "PASSED") == (not self.errors)
        return self.code == 0

    def failed_with(self, *codes: str) -> bool:
        """Whether it is a verdict, FAILED, and for these reasons among others."""
        assert self.code == 1, self.json
        assert self.json["verdict"] == "FAILED"
        assert not self.json["ok"]
        assert set(codes) <= self.errors, self.json["findings"]
        return True

    def told(self, code: str) -> str:
        """All messages under a code."""
        findings = [f for f in self.json["findings"] if f["code"] == code]
        return "\n".join(f"{f['where']}: {f['message']}" for f in findings)


class Tiny(NamedTuple):
    """The package, built: its workspace, its store, its digest, its layout without signatures."""

    workspace: Path
    store: Store
    digest: Digest
    layout: Path
    record: record.Record
    key: Key
    other: Key


class Attack:
    """A copy of the layout, to be changed; everything is hashed again up to ``index.json``."""

    def __init__(self, tiny: Tiny, folder: Path, cli: Callable[..., Answer]) -> None:
        self.tiny = tiny
        self.folder = folder
        self.layout = Layout(folder)
        self._cli = cli

    # ---- reading

    @property
    def digest(self) -> Digest:
        return self.layout.packages()[0].digest

    def document(self, digest: str) -> Any:
        return json.loads(self.layout.read(Digest(digest)))

    @property
    def index(self) -> Any:
        return self.document(self.digest)

    def manifest(self, image: int = 0) -> Any:
        return self.document(self.index["manifests"][image]["digest"])

    def config(self, image: int = 0) -> Any:
        return self.document(self.manifest(image)["config"]["digest"])

    def layer(self, title: str, image: int = 0) -> tuple[int, bytes]:
        """The place of a layer, and its plain tar."""
        for place, layer in enumerate(self.manifest(image)["layers"]):
            if layer["annotations"]["dev.mpbuild.layer"].startswith(title):
                data = self.layout.read(Digest(layer["digest"]))
                return place, stdlib_gzip.decompress(data)
        raise AssertionError(title)

    def files(self, title: str, image: int = 0) -> dict[str, bytes | str]:
        """The files of a layer."""
        with tarfile.open(fileobj=io.BytesIO(self.layer(title, image)[1])) as archive:
            return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}

    # ---- changing

    def put(self, data: bytes) -> dict[str, Any]:
        """A blob more; the digest and size of its descriptor."""
        digest = Digest.of(data)
        self.layout.add(digest, [data])
        return {"digest": str(digest), "size": len(data)}

    def set_index(self, index: Any) -> None:
        data = canonical.encode(index) if not isinstance(index, bytes) else index
        path = self.folder / "index.json"
        top = json.loads(path.read_bytes())
        top["manifests"][0] |= self.put(data)
        path.write_bytes(canonical.encode(top))

    def set_manifest(self, manifest: Any, image: int = 0) -> None:
        index = self.index
        data = canonical.encode(manifest) if not isinstance(manifest, bytes) else manifest
        index["manifests"][image] |= self.put(data)
        self.set_index(index)

    def set_config(self, config: Any, image: int = 0) -> None:
        manifest = self.manifest(image)
        data = canonical.encode(config) if not isinstance(config, bytes) else config
        manifest["config"] |= self.put(data)
        self.set_manifest(manifest, image)

    def set_layers(self, layers: list[Any], diff_ids: list[str], image: int = 0) -> None:
        config = self.config(image)
        config["rootfs"]["diff_ids"] = diff_ids
        history = config["history"]
        config["history"] = (history + [history[-1]] * len(diff_ids))[: len(diff_ids)]
        self.set_config(config, image)
        manifest = self.manifest(image)
        manifest["layers"] = layers
        self.set_manifest(manifest, image)

    def set_layer(self, place: int, blob: bytes, image: int = 0) -> None:
        """Another blob for a layer, under the same annotations."""
        layers, diff_ids = self.rows(image)
        layers[place] |= self.put(blob)
        diff_ids[place] = str(Digest.of(stdlib_gzip.decompress(blob)))
        self.set_layers(layers, diff_ids, image)

    def add_layer(self, blob: bytes, place: int | None = None, image: int = 0) -> None:
        """A layer more; at the end unless told."""
        layers, diff_ids = self.rows(image)
        at = len(layers) if place is None else place
        layers.insert(at, {**layers[0], **self.put(blob)})
        diff_ids.insert(at, str(Digest.of(stdlib_gzip.decompress(blob))))
        self.set_layers(layers, diff_ids, image)

    def rows(self, image: int = 0) -> tuple[list[Any], list[str]]:
        return self.manifest(image)["layers"], self.config(image)["rootfs"]["diff_ids"]

    def replace_file(self, title: str, path: str, data: bytes, image: int = 0) -> None:
        """Another content for a file of a layer, packed by other hands."""
        files = self.files(title, image)
        assert path in files
        place, _ = self.layer(title, image)
        self.set_layer(place, self.pack({**files, path: data}), image)

    @property
    def blobs(self) -> list[Path]:
        return sorted((self.folder / "blobs/sha256").iterdir())

    def pack(self, files: Mapping[str, bytes | str], **options: Any) -> bytes:
        """A layer of ``files``, made by other hands."""
        return stdlib_gzip.compress(write_tar(files, **options), mtime=0)

    # ---- signing and judging

    def subjects(self) -> tuple[statement.Subject, ...]:
        children = [Digest(entry["digest"]) for entry in self.index["manifests"]]
        named = [statement.Subject(f"tiny:{i}", digest) for i, digest in enumerate(children)]
        return (statement.Subject("tiny", self.digest), *named)

    def statement(self, **changes: Any) -> dict[str, Any]:
        """The provenance that the builder would have signed for the index as it is now."""
        made = provenance(self.tiny.record, self.subjects(), LOCAL_BUILDER)
        return json.loads(statement.encode(made)) | changes

    def attach(self, data: bytes, subject: Digest | None = None) -> Digest:
        subject = subject or self.digest
        descriptor = oci.Descriptor(
            media_type=oci.INDEX, digest=subject, size=self.layout.blob(subject).stat().st_size
        )
        beside = referrers.LayoutReferrers(self.layout)
        return beside.attach(descriptor, data, statement.PROVENANCE)

    def sign(self, key: Key | None = None, made: Any = None) -> bytes:
        """Attach a statement (the right one unless told) with a real signature."""
        payload = made if isinstance(made, bytes) else canonical.encode(made or self.statement())
        data = (key or self.tiny.key).sign(payload)
        self.attach(data)
        return data

    def payload(self, **changes: Any) -> bytes:
        """The right statement but for ``changes``."""
        return canonical.encode(self.statement(**changes))

    def bundle(self, data: bytes | None = None) -> Any:
        """The bundle of the right provenance as JSON data, to be changed."""
        return json.loads(data or self.tiny.key.sign(self.payload()))

    def attach_changed(self, changed: Any) -> None:
        self.attach(json.dumps(changed).encode())

    def with_predicate(self, change: Callable[[Any], object]) -> Answer:
        """The verdict where the right statement has a changed predicate, really signed."""
        made = self.statement()
        change(made["predicate"])
        self.sign(made=made)
        return self.verify()

    @property
    def listing(self) -> Any:
        """What is listed as attached to the package."""
        return self.document(self.layout.tagged(referrer.tag(self.digest)).digest)

    @property
    def provenance(self) -> dict[str, Any]:
        """The manifest that attaches the one bundle to the package."""
        (entry,) = [
            one for one in self.listing["manifests"] if one["artifactType"] == bundle.MEDIA_TYPE
        ]
        return self.document(entry["digest"])

    def set_listing(self, listing: Any) -> None:
        """List this for the package, and nothing for its images."""
        data = listing if isinstance(listing, bytes) else canonical.encode(listing)
        path = self.folder / "index.json"
        top = json.loads(path.read_bytes())
        entry = {
            "mediaType": oci.INDEX,
            **self.put(data),
            "annotations": {oci.REF_NAME: referrer.tag(self.digest)},
        }
        top["manifests"] = [top["manifests"][0], entry]
        path.write_bytes(canonical.encode(top))

    def listed(self, manifest: Any) -> dict[str, Any]:
        """An entry of a listing for a manifest that is put among the blobs."""
        data = manifest if isinstance(manifest, bytes) else canonical.encode(manifest)
        return {"mediaType": oci.MANIFEST, "artifactType": bundle.MEDIA_TYPE, **self.put(data)}

    def verify_both_ways(self) -> Iterator[Answer]:
        """The verdict with the listing as it is, and turned round."""
        yield self.verify()
        listing = self.listing
        listing["manifests"].reverse()
        self.set_listing(listing)
        yield self.verify()

    def verify(self, *words: str, ref: str = "", key: Path | None = None) -> Answer:
        """The verdict, offline."""
        trusted = key or self.tiny.key.public
        reference = f"{self.folder}{ref}"
        return self._cli("verify", reference, "--key", trusted, "--offline", *words)


@pytest.fixture(scope="session")
def made(tmp_path_factory, small_toolchain, stock) -> Tiny:
    """Built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("tiny")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        small_toolchain.prepare(store, stock)
        root = stock.workspace(folder / "workspace", store)
        result = build_tiny(root, store, small_toolchain)
        digest = result.package.digest
        write_layout(store, digest, folder / "layout")
        kept = record.decode(Path(result.record).read_bytes())
    keys = [Key(*make_pair(folder / name, None)) for name in ("key", "other")]
    return Tiny(root, store, digest, folder / "layout", kept, *keys)


@pytest.fixture
def tiny(made, monkeypatch) -> Tiny:
    """The package, and the state folder of who built it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(made.layout.parent / "state"))
    monkeypatch.delenv("MPBUILD_KEY_PASSPHRASE", raising=False)
    return made


@pytest.fixture
def cli(tiny, small_toolchain, capfdbinary) -> Callable[..., Answer]:
    """``cli("verify", …)``: mpbuild in this process, with the store of the package."""

    def call(*words: Any, store: Path | None = None, bwrap: Any = None) -> Answer:
        capfdbinary.readouterr()
        path = store or tiny.store.path
        words = ("--store", path, "--format", "json", *words)
        code = run([*map(str, words)], toolchain=small_toolchain.folder, bwrap=bwrap)
        return Answer(code, json.loads(capfdbinary.readouterr().out))

    return call


@pytest.fixture
def unsigned(tiny, tmp_path, cli) -> Attack:
    """A copy of the layout, to which nothing is attached."""
    shutil.copytree(tiny.layout, tmp_path / "layout")
    return Attack(tiny, tmp_path / "layout", cli)


@pytest.fixture
def signed(unsigned, cli) -> Attack:
    """A copy of the layout, signed by who built it."""
    assert cli("sign", unsigned.folder, "--key", unsigned.tiny.key.private).code == 0
    return unsigned


@pytest.fixture
def rebuild(tiny, tmp_path, monkeypatch, cli, stock, small_toolchain):
    """``rebuild(change)``: what mpbuild makes of a changed workspace, unsigned."""

    def make(change: Callable[[Path], None], sandbox: str = "bwrap") -> Attack:
        root = tmp_path / "changed"
        shutil.copytree(tiny.workspace, root)
        change(root)
        stock.lock(root, tiny.store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another"))
            result = build_tiny(root, tiny.store, small_toolchain, sandbox=sandbox)
        write_layout(tiny.store, result.package.digest, tmp_path / "changed layout")
        return Attack(tiny, tmp_path / "changed layout", cli)

    return make


GARBAGE = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b"[" * 100_000,
    b'{"schema": "mpbuild.checked/0"}',
    b'{"schema": "mpbuild.memo/0"}',
]


@pytest.fixture(params=GARBAGE)
def garbage(request) -> bytes:
    """What is no memory of anything."""
    return request.param


@pytest.fixture(params=["whiteout", "opaque", "trailing", "understated", "unrecorded"])
def lying_wheel(request) -> bytes:
    """A wheel of numpy 2.0 that may not become a layer."""
    filename = "numpy-2.0-py3-none-any.whl"
    if request.param == "unrecorded":
        good = io.BytesIO(write_wheel(filename, {"numpy/__init__.py": b"x = 1\n"}))
        with zipfile.ZipFile(good, "a") as archive:
            archive.writestr("numpy/evil.py", b"evil")
        return good.getvalue()
    extra = {"whiteout": "numpy/.wh.core.py", "opaque": "numpy/.wh..wh..opq"}
    path = extra.get(request.param, "numpy/core.py")
    data = write_wheel(filename, {"numpy/__init__.py": b"x = 1\n", path: b"y = 2\n" * 9})
    if request.param == "understated":
        at = data.index(b"PK\1\2")
        return data[: at + 24] + b"\1\0\0\0" + data[at + 28 :]
    if request.param == "trailing":
        at = data.index(b"PK\1\2")
        packed = int.from_bytes(data[at + 20 : at + 24], "little") - 1
        return data[: at + 20] + packed.to_bytes(4, "little") + data[at + 24 :]
    return data
