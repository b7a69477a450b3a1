"""How far a build makes the store grow beyond its inputs; unpacked trees can be made again."""

import json
import subprocess
from pathlib import Path

from figures import MPBUILD, Figure

KINDS = ("blobs", "derived", "results", "referrers", "last")


def growth_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    """The store of ``environ`` holds a build of the cpu package already."""
    store = Path(environ["MPBUILD_STORE"])
    command = [MPBUILD, "-q", "--format", "json", "build", target, "--accelerator", "cpu"]
    done = subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True)
    record = json.loads(Path(json.loads(done.stdout)["targets"][0]["record"]).read_bytes())
    inputs = {one["digest"][7:] for one in record["inputs"]}
    sizes = {
        path: path.stat().st_size
        for kind in KINDS
        for path in (store / kind).rglob("*")
        if path.is_file()
    }
    given = sum(size for path, size in sizes.items() if path.name in inputs)
    # Wheels that this build takes no part of belong to other targets and accelerators.
    other = sum(
        size
        for path, size in sizes.items()
        if path.name not in inputs and path.parent.name == "sha256" and size > 1 << 23
    )
    grown = sum(sizes.values()) - given - other
    return [Figure("the store beyond its inputs, after a build", 100 * grown / given, "%", 5)]
