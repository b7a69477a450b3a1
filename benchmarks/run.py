"""Measure, and compare each figure with a peer or a limit taken in the same run.

Every figure is a ratio, or memory in MB; wall-clock numbers alone say nothing on another machine.
Writes benchmarks/results.json; exits 1 where a budget is exceeded. Needs the example's inputs
(fetched if need be) and an otherwise idle machine.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from derivation import derivation_figures
from figures import Figure
from startup import startup_figures

ROOT = Path(__file__).resolve().parent.parent
TARGET = "//examples/digits"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"XDG_STATE_HOME": folder}
        _mpbuild(environ, "keygen", f"{folder}/bench")
        key = f"{folder}/bench.key"
        _mpbuild(environ, "build", TARGET, "--sign", "--key", key)
        figures = [
            *startup_figures(ROOT, TARGET, Path(folder, "bench.pub"), environ),
            *derivation_figures(ROOT, TARGET, environ),
        ]
    _write(figures)
    for figure in figures:
        print(figure.line())
    return 0 if all(figure.good for figure in figures) else 1


def _mpbuild(environ: dict[str, str], *words: str) -> None:
    mpbuild = Path(sys.executable).with_name("mpbuild")
    subprocess.run([mpbuild, "-q", *words], cwd=ROOT, env=environ, check=True, capture_output=True)


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
