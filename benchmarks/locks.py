"""Locking: a check against a bare interpreter, resolving against uv's own runs for the same."""

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
    """Offline checks of committed locks, and locking anew with warm caches; this needs an index."""
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
        Figure("lock --check of new texts, against the same", cold / bare, "times", 12),
    ]


def _resolving(root: Path, target: str, environ: dict[str, str]) -> Figure:
    """The peer is every resolution that ``mpbuild lock`` has uv make, one after the other.

    That is the accelerators together, each of them under what came out, and each further
    environment: the same commands with the same files, run by nothing but this.
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
            return figure.unmeasured("nothing could be resolved: is there an index?")

        def lock() -> None:
            command = [MPBUILD, "-q", "lock", target]
            subprocess.run(command, cwd=workspace, env=environ, check=True, capture_output=True)

        def peer() -> None:
            for one in runs:
                one.again()

        return figure._replace(value=ratio(lock, peer, LOCKS))


class Run(NamedTuple):
    """A resolution: the command, its standard input and environment, the files it began with."""

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
    """Every resolution by uv that happens meanwhile; its files are kept in ``folder``."""
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
    """A workspace with the target's spec and locks, so that no lock of the checkout changes."""
    label = target.removeprefix("//")
    for name in ("mpbuild.toml", f"{label}/model.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    shutil.copytree(root / "lockfiles" / label, folder / "lockfiles" / label)
    return folder
