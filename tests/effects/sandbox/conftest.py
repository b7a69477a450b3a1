"""A root with this machine's own Python, a store, and the sandbox."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.sandbox.bubblewrap import find_bwrap
from mpbuild.effects.sandbox.sandbox import Bind, Sandbox, SandboxSpec
from mpbuild.effects.sandbox.supervise import ProcessOutcome
from mpbuild.effects.store.store import Store

ENVIRONMENT = {"PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"}
UNNEEDED = shutil.ignore_patterns(
    *("test", "tests", "*-packages", "config-*", "idlelib", "tkinter", "lib2to3"),
    *("ensurepip", "turtledemo", "pydoc_data", "unittest", "distutils", "*.a"),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """A layer of libraries and one of Python, standard library included."""
    libraries, python = tmp_path_factory.mktemp("libraries"), tmp_path_factory.mktemp("python")
    standard_library = Path(os.__file__).parent
    interpreter = Path(sys.executable).resolve()
    place = python / "usr" / "lib" / standard_library.name
    shutil.copytree(standard_library, place, ignore=UNNEEDED, copy_function=_link)
    (python / "usr" / "bin").mkdir()
    for name in ("python3", "python"):
        _link(interpreter, python / "usr" / "bin" / name)
    for library in _libraries([interpreter, *place.glob("lib-dynload/*.so")]):
        _link(library, _where(library, libraries))
    return libraries, python


def _libraries(files: list[Path]) -> list[Path]:
    if shutil.which("ldd") is None:
        pytest.skip("no ldd to find the libraries of Python with")
    told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in sorted(set(re.findall(r"(?:=>|\t) ?(/\S+) \(0x", told)))]


def _where(library: Path, root: Path) -> Path:
    known = library.is_relative_to("/lib") or library.is_relative_to("/lib64")
    known = known or library.is_relative_to("/usr")
    place = library.relative_to("/") if known else Path("usr/lib", library.name)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    return root / place


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture
def sandbox(store: Store) -> Sandbox:
    made = Sandbox(find_bwrap(), store.scratch)
    try:
        made.probe()
    except EnvironmentFailureError as error:
        pytest.skip(str(error))
    return made


Inside = Callable[..., ProcessOutcome]


@pytest.fixture
def inside(sandbox: Sandbox, layers: tuple[Path, ...], tmp_path: Path) -> Inside:
    """Runs Python code in a sandbox with an input at /work/input and an empty /out."""
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    (work / "input").write_text("declared")
    (tmp_path / "undeclared").write_text("a neighbour")

    def run(code: str, *arguments: str, **changes: object) -> ProcessOutcome:
        settings = {
            "layers": layers,
            "binds": {"/work": Bind(work), "/out": Bind(out, writable=True)},
            "command": ("python", "-I", "-S", "-c", code, *arguments),
            "environment": ENVIRONMENT,
            "cwd": "/work",
            "timeout_ms": 30_000,
        }
        return sandbox.run(SandboxSpec(**(settings | changes)))

    return run
