"""Packages for other people's tools: the example, built and signed, and a small made-up one."""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from mpbuild.base.digest import Digest
from mpbuild.derive import inputs_artifact
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.formats.evidence import bundle
from mpbuild.formats.oci import oci, referrer
from mpbuild.formats.oci.annotations import ACCELERATOR, EXECUTABLE, KIND, LAYER, TITLE
from tests.making.elf import write_program
from tests.making.tars import write_tar

EPOCH = "1980-01-01T00:00:00Z"
PATIENCE_S = 10
# docker-registry as Debian starts it, without a password.
DOCKER_REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{address}"}}
"""


class Signed(NamedTuple):
    digest: str
    layout: Path
    signed_layout: Path
    public_key: Path


@pytest.fixture(scope="session")
def package(checkout, shared_store, tmp_path_factory):
    """The example's package as a layout without and one with a signed provenance."""
    folder = tmp_path_factory.mktemp("package")
    environ = os.environ | {"MPBUILD_STORE": str(shared_store), "XDG_STATE_HOME": str(folder)}

    def mpbuild(*words):
        command = [Path(sys.executable).with_name("mpbuild"), "-C", checkout, "--format", "json"]
        done = subprocess.run([*command, *words], env=environ, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    build = ("build", "//examples/digits", "--accelerator", "cpu")
    mpbuild("keygen", folder / "key")
    built = mpbuild(*build, "--output", folder / "layout")
    sign = ("--sign", "--key", folder / "key.key")
    mpbuild(*build, *sign, "--output", folder / "signed")
    digest = built["targets"][0]["package"]["digest"]
    return Signed(digest, folder / "layout", folder / "signed", folder / "key.pub")


@pytest.fixture(scope="session")
def crane():
    return tool("crane", "`make interop` builds it")


@pytest.fixture(scope="session")
def oras():
    return tool("oras", "`make interop` builds it")


@pytest.fixture(scope="session")
def skopeo():
    return tool("skopeo", "Debian's package has its name")


def tool(name, hint):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH; {hint}")
    return found


@pytest.fixture(scope="session")
def crane_registry(crane, tmp_path_factory):
    """The address of crane's registry, which keeps everything in memory."""
    log = tmp_path_factory.mktemp("registry") / "log"
    command = [crane, "registry", "serve", "--address", "127.0.0.1:0"]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            port = patiently(
                server, log, lambda: re.search(r"serving on port (\d+)", log.read_text())
            )
            yield f"127.0.0.1:{port[1]}"
        finally:
            server.kill()


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory):
    """The address of a docker-registry on an empty folder."""
    program = tool("docker-registry", "Debian's package has its name")
    folder = tmp_path_factory.mktemp("docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings, log = folder / "config.yml", folder / "log"
    settings.write_text(DOCKER_REGISTRY.format(folder=folder, address=address))
    command = [program, "serve", settings]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            patiently(server, log, lambda: answers(address))
            yield address
        finally:
            server.kill()


def answers(address):
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


def patiently(server, log, found):
    """What ``found()`` gives once a server is up."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := found()):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"no registry after {PATIENCE_S} s: {log.read_text()}"
        time.sleep(0.05)
    return result


class Carried:
    """What is carried about: a layout with a package and what is attached to it."""

    def __init__(self, folder):
        self.folder = folder
        self.layout = Layout(folder)
        self.package, *self.listings = self.layout.entries()
        self.digest = self.package.digest

    @property
    def children(self):
        """What the package's index names, images first."""
        return oci.read_index(self.layout.read(self.digest)).manifests

    @property
    def blobs(self):
        """The digests of the package's own blobs."""
        return self._below(self.digest)

    @property
    def attached(self):
        """The digests of the manifests that are attached to the package."""
        return self._listed([one for one in self.listings if self.digest.hex in tag(one)])

    @property
    def all_blobs(self):
        """Those of everything that is attached too; not the listings, which registries remake."""
        return self.blobs.union(*map(self._below, self._listed(self.listings)))

    def _listed(self, listings):
        data = [self.layout.read(listing.digest) for listing in listings]
        return {entry.digest for one in data for entry in referrer.read_listing(one)}

    def _below(self, digest):
        document = json.loads(self.layout.read(digest))
        found = {digest}
        for child in document.get("manifests", ()):
            found |= self._below(Digest(child["digest"]))
        if "config" in document:
            found |= {Digest(one["digest"]) for one in (document["config"], *document["layers"])}
        return found


def tag(entry):
    return entry.annotations[oci.REF_NAME]


class Package:
    """A package by hand: every kind of child and blob, and programs of two system calls."""

    def __init__(self, folder):
        self.layout = Layout(folder)
        self.layout.begin()
        images = [self._image(accelerator) for accelerator in ("cpu", "cuda", "rocm")]
        pexes = [self._pex(accelerator) for accelerator in ("cpu", "cuda", "rocm")]
        children = (*images, *pexes, self._model())
        index = oci.encode(oci.ImageIndex(manifests=children, annotations={KIND: "package"}))
        package = self._blob(oci.INDEX, index)
        self.layout.finish(oci.retagged(package, "1.0.0"))
        wheels = [b"wheel %d" % number for number in range(5)]
        self._refer(package, bundle.MEDIA_TYPE, bundle.MEDIA_TYPE, [b"{}package"])
        self._refer(package, inputs_artifact.ARTIFACT, inputs_artifact.FILE, wheels)
        self._refer(images[0], bundle.MEDIA_TYPE, bundle.MEDIA_TYPE, [b"{}image"])

    def _blob(self, media_type, data, **more):
        self.layout.add(Digest.of(data), [data])
        return oci.descriptor(media_type, data, **more)

    def _image(self, accelerator):
        tars = [
            write_tar([("hello", write_program(f"{accelerator}\n"), 0o755)]),
            write_tar([("opt/note", accelerator.encode(), 0o755)]),
        ]
        config = oci.ImageConfig(
            created=EPOCH,
            config=oci.ExecutionConfig(
                user="65532:65532", env=(), entrypoint=("/hello",), working_dir="/", labels={}
            ),
            rootfs=oci.RootFs(tuple(Digest.of(data) for data in tars)),
            history=tuple(oci.History(EPOCH, "by hand") for _ in tars),
        )
        layers = [gzip.compress(data, mtime=0) for data in tars]
        manifest = oci.Manifest(
            config=self._blob(oci.CONFIG, oci.encode(config)),
            layers=tuple(
                self._blob(oci.LAYER_GZIP, data, annotations={LAYER: "by hand"}) for data in layers
            ),
            annotations={ACCELERATOR: accelerator},
        )
        about = {KIND: "image", ACCELERATOR: accelerator}
        data = oci.encode(manifest)
        return self._blob(oci.MANIFEST, data, platform=oci.Platform(), annotations=about)

    def _pex(self, accelerator):
        """Many blobs: one of them is empty, one comes twice."""
        files = {f".deps/wheel{number}.whl": b"wheel %d" % number for number in range(20)}
        files |= {"digits/__init__.py": b"", "digits/größe.txt": b"same", "files/same": b"same"}
        files |= {"PEX-INFO": accelerator.encode()}
        layers = [
            self._blob("application/vnd.mpbuild.pex.file.v1", data, annotations={TITLE: path})
            for path, data in sorted(files.items())
        ]
        main = {TITLE: "__main__.py", EXECUTABLE: "true"}
        layers.append(
            self._blob("application/vnd.mpbuild.pex.file.v1", b"import", annotations=main)
        )
        config = self._blob(oci.EMPTY_TYPE, oci.EMPTY)
        about = {KIND: "pex", ACCELERATOR: accelerator}
        return self._artifact("application/vnd.mpbuild.pex.v1", config, layers, about)

    def _model(self):
        weights = self._blob(
            "application/vnd.cncf.model.weight.v1.raw",
            bytes(1000),
            annotations={TITLE: "weights/w", "org.cncf.model.filepath": "weights/w"},
        )
        code = self._blob("application/vnd.cncf.model.code.v1.tar+gzip", b"code")
        config = self._blob("application/vnd.cncf.model.config.v1+json", b'{"config":{}}')
        media_type = "application/vnd.cncf.model.manifest.v1+json"
        return self._artifact(media_type, config, [weights, code], {KIND: "model"})

    def _artifact(self, media_type, config, layers, about):
        manifest = oci.ArtifactManifest(
            artifact_type=media_type, config=config, layers=tuple(layers), annotations=about
        )
        data = oci.encode(manifest)
        return self._blob(oci.MANIFEST, data, platform=oci.NO_PLATFORM, annotations=about)

    def _refer(self, subject, artifact_type, media_type, blobs):
        manifest = referrer.Referrer(
            artifact_type=artifact_type,
            config=self._blob(oci.EMPTY_TYPE, oci.EMPTY),
            layers=tuple(self._blob(media_type, data) for data in blobs),
            subject=oci.Descriptor(
                media_type=subject.media_type, digest=subject.digest, size=subject.size
            ),
        )
        self._blob(oci.MANIFEST, referrer.encode(manifest))
        name = referrer.tag(subject.digest)
        known = self.layout.tagged(name)
        listing = referrer.listing(manifest, self.layout.read(known.digest) if known else None)
        with self.layout.locked():
            self.layout.point(name, self._blob(oci.INDEX, listing))


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """A package with every kind of child, and something attached to it and to an image."""
    folder = tmp_path_factory.mktemp("made-up") / "layout"
    Package(folder)
    return Carried(folder)


@pytest.fixture(scope="session")
def example(package):
    """The example, signed."""
    return Carried(package.signed_layout)
