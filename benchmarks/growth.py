"""How far a build makes the store grow beyond its inputs; unpacked trees can be made again."""

import json
import re
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
    # What the locks of other accelerators name is no growth by this build.
    others = locked(root) - inputs
    sizes = {
        path: path.stat().st_size
        for kind in KINDS
        for path in (store / kind).rglob("*")
        if path.is_file() and path.name not in others
    }
    given = sum(size for path, size in sizes.items() if path.name in inputs)
    grown = sum(sizes.values()) - given
    return [Figure("the store beyond its inputs, after a build", 100 * grown / given, "%", 5)]


def locked(root: Path) -> set[str]:
    """The digests, in hexadecimal, of what the locks of the example and the toolchain name."""
    folders = (root / "lockfiles/examples/digits", root / "lockfiles/toolchain")
    texts = [lock.read_text() for folder in folders for lock in folder.glob("*.toml")]
    return set(re.findall(r"\b[0-9a-f]{64}\b", "".join(texts)))
