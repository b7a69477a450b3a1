"""Compares checks of locks with a bare interpreter, and locking with its own runs of uv."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from figures import MPBUILD, Figure, medians, ratio

from mpbuild.cli.root import run

CHECKS = 20
LOCKS = 5


def lock_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    """Measures offline checks of committed locks, and locking with warm caches; needs an index."""
    return [*_checks(root, target, environ), _resolving(root, target, environ)]


def _checks(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    def call(*command: str) -> None:
        subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True)

    def check() -> None:
        call(MPBUILD, "lock", "--check", target)

    def first() -> None:
        shutil.rmtree(Path(environ["XDG_STATE_HOME"], "mpbuild", "checks"), ignore_errors=True)
        check()

    tasks = [lambda: call(sys.executable, "-c", "pass"), first, check]
    bare, cold, warm = medians(tasks, CHECKS)
    return [
        Figure("lock --check, against a bare interpreter", warm / bare, "times", 6),
        Figure("lock --check of changed files, against the same", cold / bare, "times", 12),
    ]


def _resolving(root: Path, target: str, environ: dict[str, str]) -> Figure:
    """Compares ``mpbuild lock`` with all of its runs of uv, one after the other.

    These resolve the accelerators together, each accelerator under the result, and each other
    environment. The peer runs the same commands with the same files, and does nothing else.
    """
    figure = Figure("lock, against its uv runs alone", None, "times", 1.5)
    with tempfile.TemporaryDirectory() as folder:
        workspace = _copy(root, target, Path(folder, "workspace"))
        with (
            mock.patch.dict(os.environ, environ, clear=True),
            redirect_stdout(io.TextIOWrapper(io.BytesIO())),
            _recorded(Path(folder)) as runs,
        ):
            code = run(["-C", str(workspace), "-q", "lock", target])
        if code or not runs:
            return figure.unmeasured("nothing could be resolved: check the index")

        def lock() -> None:
            command = [MPBUILD, "-q", "lock", target]
            subprocess.run(command, cwd=workspace, env=environ, check=True, capture_output=True)

        def peer() -> None:
            for one in runs:
                one.again()

        return figure._replace(value=ratio(lock, peer, LOCKS))


class Run(NamedTuple):
    """A run of uv: its command, standard input, environment and initial files."""

    command: list[str]
    stdin: str
    environ: dict[str, str]
    files: Path

    def again(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(self.files, folder, dirs_exist_ok=True)
            subprocess.run(
                self.command,
                cwd=folder,
                env=self.environ,
                input=self.stdin,
                check=True,
                capture_output=True,
                encoding="utf-8",
            )


@contextmanager
def _recorded(folder: Path) -> Iterator[list[Run]]:
    """Records every resolution by uv in its context, and keeps its files in ``folder``."""
    original = subprocess.run
    runs: list[Run] = []

    def record(command, **options):
        if Path(command[0]).name == "uv" and "--version" not in command:
            files = Path(tempfile.mkdtemp(dir=folder))
            shutil.copytree(options["cwd"], files, dirs_exist_ok=True)
            runs.append(Run(command, options["input"], options["env"], files))
        return original(command, **options)

    with mock.patch("subprocess.run", record):
        yield runs


def _copy(root: Path, target: str, folder: Path) -> Path:
    """Copies the target's spec and locks into a workspace, so that the checkout does not change."""
    label = target.removeprefix("//")
    for name in ("mpbuild.toml", f"{label}/model.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    shutil.copytree(root / "lockfiles" / label, folder / "lockfiles" / label)
    return folder
