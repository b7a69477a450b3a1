"""Compares image builds with buildah, for the same wheels, code and weights on the same base."""

import ensurepip
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import MPBUILD, Figure

ROUNDS = 3
CONTAINERS = """
[containers]
netns = "none"
log_driver = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
BASE = """\
FROM scratch
ADD base.tar.gz /
COPY pip.whl /pip-0-py3-none-any.whl
ENV PATH=/opt/venv/bin:/usr/bin
"""
# A typical Containerfile: the most frequently changing content comes last.
IMAGE = """\
FROM localhost/base
COPY wheels /wheels
RUN ["python", "/pip-0-py3-none-any.whl/pip", "install", "--no-index", "--no-deps", \
"--no-cache-dir", "--no-compile", "--find-links", "/wheels", {names}]
COPY weights /opt/model/weights
COPY src /opt/model/src
"""


class Peer:
    """buildah with its own storage, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "containers.conf").write_text(CONTAINERS)
        self._words = ["buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self._words += ["--storage-driver", "overlay"]

    def run(self, *words: str) -> float:
        """Runs a command of buildah and returns its duration in seconds."""
        environ = os.environ | {"CONTAINERS_CONF": str(self._folder / "containers.conf")}
        started = time.perf_counter()
        done = subprocess.run(
            [*self._words, *words], env=environ, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return time.perf_counter() - started

    def build(self, context: Path, name: str, *words: str) -> float:
        return self.run("bud", "-q", "-t", name, *words, str(context))


class Bench:
    """mpbuild with its own store, cold except for base layers and outputs of steps."""

    def __init__(self, workspace: Path, target: str, accelerator: str, environ: dict[str, str]):
        self.workspace = workspace
        self._target, self._accelerator, self._environ = target, accelerator, environ
        self.store = Path(environ["MPBUILD_STORE"])
        self.result = self.build()

    def build(self, *words: str) -> dict[str, Any]:
        """Builds the target and returns its result; ``wall`` is the duration in seconds."""
        command = [MPBUILD, "-q", "--format", "json", "build", self._target, "--offline"]
        command += ["--accelerator", self._accelerator, *words]
        started = time.perf_counter()
        done = subprocess.run(
            command, cwd=self.workspace, env=self._environ, check=True, capture_output=True
        )
        wall = time.perf_counter() - started
        found: dict[str, Any] = json.loads(done.stdout)["targets"][0]
        return found | {"wall": wall}

    def cool(self) -> None:
        """Removes the memo and every layer of the image except the base from the store."""
        record = json.loads(Path(self.result["record"]).read_bytes())
        for action in record["actions"]:
            if action["name"].startswith("layer:") and not action["name"].startswith("layer:base:"):
                for kind, digest in (
                    ("results", action["key"]),
                    ("derived", action["diff_id"]),
                    ("derived", action["outputs"]["layer"]),
                ):
                    (self.store / kind / digest[7:]).unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        shutil.rmtree(self.store / "last")
        (self.store / "last").mkdir()

    def image(self) -> dict[str, Any]:
        """Reads the image's manifest: its configuration and layers."""
        digest = self.result["images"][0]["digest"]
        found: dict[str, Any] = json.loads(self.blob(digest).read_bytes())
        return found

    def blob(self, digest: str) -> Path:
        return self.store / "blobs/sha256" / digest[7:]


def buildah_figures(
    root: Path, target: str, accelerator: str, environ: dict[str, str]
) -> list[Figure]:
    names = {
        "cold": f"{accelerator} image, against buildah's cold build",
        "layout": f"{accelerator} image and layout, against buildah's build and push",
        "change": f"{accelerator} image after a code change, against fully cached buildah",
    }
    limits = {
        "cpu": {"cold": (5.0, True), "change": (1.0, False)},
        "cuda": {"cold": (10.0, True), "layout": (10.0, True)},
    }[accelerator]
    reason = _lacking(root, target, accelerator, environ)
    measured = {} if reason else dict(_measured(root, target, accelerator, environ, set(limits)))
    return [
        Figure(names[key], measured.get(key), "times", limit, at_least=least, reason=reason)
        for key, (limit, least) in limits.items()
    ]


def _lacking(root: Path, target: str, accelerator: str, environ: dict[str, str]) -> str:
    tools = [tool for tool in ("buildah", "runc") if shutil.which(tool) is None]
    if tools:
        return f"{' and '.join(tools)} not installed"
    if os.geteuid() != 0:
        return "buildah needs root here"
    store = Path(environ["MPBUILD_STORE"])
    missing = [
        name
        for name, digest in _wheels(root, target, accelerator)
        if not (store / "blobs/sha256" / digest).is_file()
    ]
    if missing:
        return f"{len(missing)} wheels are missing: run mpbuild fetch {target}"
    return ""


def _wheels(root: Path, target: str, accelerator: str) -> list[tuple[str, str]]:
    import tomllib

    lock = root / "lockfiles" / target[2:] / f"pylock.{accelerator}.toml"
    packages = tomllib.loads(lock.read_text())["packages"]
    files = [wheel for package in packages for wheel in package["wheels"]]
    return [(wheel["name"], wheel["hashes"]["sha256"]) for wheel in files]


def _measured(
    root: Path, target: str, accelerator: str, environ: dict[str, str], wanted: set[str]
) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory(dir=environ.get("MPBUILD_BENCH_DIR")) as text:
        folder = Path(text)
        workspace = _workspace(root, target, folder / "workspace")
        bench, peer = Bench(workspace, target, accelerator, environ), Peer(folder)
        context = _contexts(root, target, accelerator, bench, peer, folder)
        rounds = ROUNDS if accelerator == "cpu" else 1
        cold = [_cold(bench, peer, context) for _ in range(rounds)]
        yield "cold", _median([theirs / ours for ours, theirs in cold])
        if "layout" in wanted:
            yield "layout", _pushed(bench, peer, context, folder)
        if "change" in wanted:
            peer.build(context, "app", "--layers")
            changes = [_changed(bench, peer, context, number) for number in range(5)]
            yield "change", _median([ours / theirs for ours, theirs in changes])


def _workspace(root: Path, target: str, folder: Path) -> Path:
    """Copies the target into a workspace that the benchmark can change."""
    shutil.copytree(root / target[2:], folder / target[2:])
    shutil.copytree(root / "lockfiles" / target[2:], folder / "lockfiles" / target[2:])
    shutil.copyfile(root / "mpbuild.toml", folder / "mpbuild.toml")
    return folder


def _contexts(
    root: Path, target: str, accelerator: str, bench: Bench, peer: Peer, folder: Path
) -> Path:
    """Builds the base image, and returns the folder from which buildah builds the image."""
    layers = bench.image()["layers"]
    base, context = folder / "base", folder / "context"
    for path in (base, context / "wheels", context / "weights"):
        path.mkdir(parents=True)
    layout = folder / "layout"
    bench.build("--output", str(layout))
    shutil.copyfile(layout / "blobs/sha256" / layers[0]["digest"][7:], base / "base.tar.gz")
    (pip,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    shutil.copyfile(pip, base / "pip.whl")
    (base / "Containerfile").write_text(BASE)
    peer.build(base, "base")
    for name, digest in _wheels(root, target, accelerator):
        shutil.copyfile(bench.store / "blobs/sha256" / digest, context / "wheels" / name)
    weights = next(one for one in layers if "weights" in one["annotations"]["dev.mpbuild.layer"])
    shutil.copyfile(layout / "blobs/sha256" / weights["digest"][7:], context / "weights/classifier")
    shutil.copytree(bench.workspace / target[2:] / "src", context / "src")
    shutil.rmtree(layout)
    names = sorted(f"/wheels/{name}" for name, _ in _wheels(root, target, accelerator))
    (context / "Containerfile").write_text(
        IMAGE.format(names=", ".join(json.dumps(name) for name in names))
    )
    return context


def _cold(bench: Bench, peer: Peer, context: Path) -> tuple[float, float]:
    bench.cool()
    ours = bench.build()["wall"]
    return ours, peer.build(context, "app", "--no-cache")


def _pushed(bench: Bench, peer: Peer, context: Path, folder: Path) -> float:
    """Times both from cold to a complete layout on disk; returns the ratio."""
    bench.cool()
    ours = bench.build("--output", str(folder / "ours"))["wall"]
    shutil.rmtree(folder / "ours")
    theirs = peer.build(context, "app", "--no-cache")
    theirs += peer.run("push", "-q", "app", f"oci:{folder / 'theirs'}:app")
    return theirs / ours


def _changed(bench: Bench, peer: Peer, context: Path, number: int) -> tuple[float, float]:
    """Times mpbuild after adding a line of code, and buildah with everything cached."""
    for source in bench.workspace.rglob("src/**/model.py"):
        source.write_text(f"{source.read_text()}\n# {number}\n")
    return bench.build()["wall"], peer.build(context, "app", "--layers")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
