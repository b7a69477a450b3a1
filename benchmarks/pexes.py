"""Compares assembling a PEX after a code change with pex; both are timed inside their process.

pex runs under its best conditions: raw wheels, a finished resolution and no compression.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from figures import MPBUILD, Figure

ROUNDS = 5
PEX = """\
import sys, time
from pex.bin.pex import main
started = time.perf_counter()
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print(time.perf_counter() - started)
"""


def pex_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    name = "pex at its best, against assembling a PEX after a code change"
    if importlib.util.find_spec("pex") is None:
        return [Figure(name, None, "times", 4, at_least=True, reason="pex is not installed")]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        _prepare(root, target, environ, folder)
        ratios = sorted(_round(root, target, environ, folder) for _ in range(ROUNDS))
    return [Figure(name, ratios[ROUNDS // 2], "times", 4, at_least=True)]


def _prepare(root: Path, target: str, environ: dict[str, str], folder: Path) -> None:
    """Writes the wheels and sources into folders, as pex expects them."""
    (folder / "wheels").mkdir()
    for name, digest in _wheels(root, target):
        blob = Path(environ["MPBUILD_STORE"], "blobs/sha256", digest)
        shutil.copyfile(blob, folder / "wheels" / name)
    pex = _build(root, target, environ)
    manifest = json.loads(_blob(environ, pex).read_bytes())
    for layer in manifest["layers"]:
        path = layer["annotations"]["org.opencontainers.image.title"]
        if not path.startswith((".", "__", "PEX-INFO")):
            (folder / "sources" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_blob(environ, layer["digest"]), folder / "sources" / path)


def _round(root: Path, target: str, environ: dict[str, str], folder: Path) -> float:
    """Returns the duration of pex divided by ours."""
    words = ["--no-index", "--pre-resolved-dists", folder / "wheels", *_pins(root, target)]
    words += ["--no-build", "--layout", "packed", "--no-pre-install-wheels", "--no-compress"]
    words += ["--no-compile", "-D", folder / "sources", "-e", "mpbuild_runtime.run:main"]
    words += ["--pex-root", folder / "root", "-o", folder / "out.pex"]
    shutil.rmtree(folder / "out.pex", ignore_errors=True)
    theirs = _seconds([sys.executable, "-c", PEX, *words], environ)
    ours = _seconds([sys.executable, __file__, root, target, folder / "sources"], environ)
    return theirs / ours


def _seconds(command: list[object], environ: dict[str, str]) -> float:
    done = subprocess.run(
        list(map(str, command)), env=environ, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def _build(root: Path, target: str, environ: dict[str, str]) -> str:
    command = [MPBUILD, "-q", "--format", "json", "build", target, "--offline"]
    command += ["--accelerator", "cpu"]
    done = subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True)
    digest: str = json.loads(done.stdout)["targets"][0]["pex"][0]["digest"]
    return digest


def _blob(environ: dict[str, str], digest: str) -> Path:
    return Path(environ["MPBUILD_STORE"], "blobs/sha256", digest[7:])


def _packages(root: Path, target: str) -> list[dict[str, object]]:
    lock = root / "lockfiles" / target[2:] / "pylock.cpu.toml"
    packages: list[dict[str, object]] = tomllib.loads(lock.read_text())["packages"]
    return packages


def _wheels(root: Path, target: str) -> list[tuple[str, str]]:
    return [
        (wheel["name"], wheel["hashes"]["sha256"])
        for package in _packages(root, target)
        for wheel in package["wheels"]
    ]


def _pins(root: Path, target: str) -> list[str]:
    return [f"{package['name']}=={package['version']}" for package in _packages(root, target)]


def _measure(root: Path, target: str, sources: Path) -> None:
    """Times the work of a build for a PEX after its layers and steps: files and manifest."""
    import os
    import time

    from mpbuild.app.workspace.targets import store_path
    from mpbuild.app.workspace.workspace import OpenWorkspace
    from mpbuild.base.accelerator import Accelerator
    from mpbuild.base.label import Label
    from mpbuild.derive.pex import pex
    from mpbuild.effects.store.store import Store
    from mpbuild.formats.python import pylock
    from mpbuild.formats.python.pex import without_hash

    store = Store(store_path(os.environ["MPBUILD_STORE"], root))
    model = OpenWorkspace(root).target(Label(target)).model
    lock = pylock.read(
        (root / "lockfiles" / target[2:] / "pylock.cpu.toml").read_text(), file="pylock.cpu.toml"
    )
    environ = dict(os.environ)
    manifest = json.loads(_blob(environ, _build(root, target, environ)).read_bytes())
    made = {
        layer["annotations"]["org.opencontainers.image.title"]: layer["digest"]
        for layer in manifest["layers"]
    }
    bootstrap = _blob(environ, made[".bootstrap"]).read_bytes()
    main = without_hash(_blob(environ, made["__main__.py"]).read_bytes())
    started = time.perf_counter()
    files = {
        path.relative_to(sources).as_posix(): path.read_bytes()
        for path in sources.rglob("*")
        if path.is_file()
    }
    built = pex(model, Accelerator.CPU, lock, files, bootstrap, main)
    for data in (*built.made.values(), built.manifest_bytes):
        store.put_bytes(data)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
