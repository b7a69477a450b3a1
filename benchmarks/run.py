"""Runs the benchmarks: compares each figure with a peer or a limit measured in the same run.

Every figure is a ratio, a percentage or a size in MB, because wall-clock times don't carry over to
other machines. Writes benchmarks/results.json; exits with 1 if a budget is exceeded. Needs the
example's inputs (fetched if missing), an index and a Debian mirror to lock from, and an otherwise
idle machine. The CUDA figures need the CUDA wheels in the store (`mpbuild fetch //examples/digits`,
2 GB), about 15 GB of disk and several minutes.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from auditing import audit_figures
from buildah import buildah_figures
from derivation import derivation_figures
from figures import MPBUILD, Figure
from growth import growth_figures, locked
from locks import lock_figures
from pexes import pex_figures
from startup import startup_figures

from mpbuild.app.workspace.targets import store_path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "//examples/digits"


def main() -> int:
    _mpbuild(dict(os.environ), "fetch", TARGET, "--accelerator", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        store = _own_store(Path(folder, "store"))
        environ = os.environ | {"XDG_STATE_HOME": folder, "MPBUILD_STORE": str(store)}
        # An installed mpbuild has bytecode.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        key = Path(folder, "bench")
        _mpbuild(environ, "keygen", str(key))
        words = ("--accelerator", "cpu", "--sign", "--key", f"{key}.key")
        answer = _mpbuild(environ, "build", TARGET, *words)
        digest = json.loads(answer)["targets"][0]["package"]["digest"]
        figures = [
            *startup_figures(ROOT, TARGET, digest, Path(f"{key}.pub"), environ),
            *lock_figures(ROOT, TARGET, environ),
            *audit_figures(ROOT, TARGET),
            *derivation_figures(ROOT, TARGET, environ),
            *growth_figures(ROOT, TARGET, environ),
            *pex_figures(ROOT, TARGET, environ),
            *buildah_figures(ROOT, TARGET, "cpu", environ),
            *buildah_figures(ROOT, TARGET, "cuda", environ),
        ]
    _write(figures)
    for figure in figures:
        print(figure.line())
    return 0 if all(figure.good for figure in figures) else 1


def _own_store(path: Path) -> Path:
    """Creates a store with only the target's inputs, as far as the user's store has them."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    named = locked(ROOT)
    for blob in (store_path(None, ROOT) / "blobs" / "sha256").iterdir():
        if blob.name in named:
            shutil.copyfile(blob, blobs / blob.name)
    return path


def _mpbuild(environ: dict[str, str], *words: str) -> str:
    command = [MPBUILD, "-q", "--format", "json", *words]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def _write(figures: list[Figure]) -> None:
    machine = {
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
    }
    results = {"machine": machine, "figures": [figure._asdict() for figure in figures]}
    path = ROOT / "benchmarks" / "results.json"
    path.write_text(json.dumps(results, indent=2) + "\n")


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
