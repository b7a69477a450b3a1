"""Compares the start-up of commands with almost no work to do with a bare interpreter."""

import subprocess
import sys
from pathlib import Path

from figures import MPBUILD, Figure, medians

ROUNDS = 20


def startup_figures(
    root: Path, target: str, digest: str, public_key: Path, environ: dict[str, str]
) -> list[Figure]:
    commands = [
        [sys.executable, "-c", "pass"],
        [MPBUILD, "--version"],
        [MPBUILD, "build", target, "--accelerator", "cpu"],
        [MPBUILD, "verify", digest, "--key", str(public_key), "--no-recompute"],
    ]

    def run(command: list[str]) -> None:
        subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True)

    bare, *others = medians([lambda c=c: run(c) for c in commands], ROUNDS)
    names = ("--version", "build with nothing to do", "verify --key --no-recompute")
    limits = (3, 8, 8)
    return [
        Figure(f"{name}, against a bare interpreter", seconds / bare, "times", limit)
        for name, seconds, limit in zip(names, others, limits, strict=True)
    ]
