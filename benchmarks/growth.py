"""Measures how much a build grows the store beyond its inputs, not counting unpacked trees."""

import json
import re
import subprocess
from pathlib import Path

from figures import MPBUILD, Figure

KINDS = ("blobs", "derived", "results", "referrers", "last")


def growth_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    """Measures the store of ``environ``, which already contains a build of the cpu package."""
    store = Path(environ["MPBUILD_STORE"])
    command = [MPBUILD, "-q", "--format", "json", "build", target, "--accelerator", "cpu"]
    done = subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True)
    record = json.loads(Path(json.loads(done.stdout)["targets"][0]["record"]).read_bytes())
    inputs = {one["digest"][7:] for one in record["inputs"]}
    # Inputs of other accelerators did not come from this build.
    others = locked(root) - inputs
    sizes = {
        path: path.stat().st_size
        for kind in KINDS
        for path in (store / kind).rglob("*")
        if path.is_file() and path.name not in others
    }
    given = sum(size for path, size in sizes.items() if path.name in inputs)
    grown = sum(sizes.values()) - given
    return [Figure("growth of the store by a build, beyond inputs", 100 * grown / given, "%", 5)]


def locked(root: Path) -> set[str]:
    """Returns all digests, in hexadecimal, in the locks of the example and the toolchain."""
    folders = (root / "lockfiles/examples/digits", root / "lockfiles/toolchain")
    texts = [lock.read_text() for folder in folders for lock in folder.glob("*.toml")]
    return set(re.findall(r"\b[0-9a-f]{64}\b", "".join(texts)))
