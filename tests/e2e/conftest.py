"""The example's package in stores, workspaces and surroundings of its own.

The locks of its other accelerators name wheels of 2 GB, which only ``make soak`` fetches.
"""

import shutil
import subprocess

import pytest

from tests.making.example import WORKSPACE, fill


@pytest.fixture
def fresh(digits, tmp_path):
    """mpbuild with a store of its own that holds what the locks name, and nothing else."""
    return fill(digits, tmp_path / "store")


@pytest.fixture
def filled(digits):
    """The same for any folder: ``filled(store)``."""
    return lambda store: fill(digits, store)


@pytest.fixture(scope="session")
def disconnected():
    """What a command is started by to have no network at all; empty where that can't be."""
    command = ("unshare", "--net", "--map-root-user", "--")
    try:
        probe = subprocess.run([*command, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return () if probe.returncode else command


@pytest.fixture
def copied(checkout):
    """``copied(folder)``: a copy of the example's workspace there, nothing else beside it."""

    def copy(folder):
        for name in WORKSPACE:
            source, target = checkout / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_file():
                shutil.copyfile(source, target)
            else:
                ignored = shutil.ignore_patterns("__pycache__", "wheels")
                shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
        return folder

    return copy


@pytest.fixture
def workspace(copied, tmp_path):
    """A copy of the example's workspace, to be changed."""
    return copied(tmp_path / "workspace")


@pytest.fixture
def quick(workspace):
    """A copy of the workspace whose step takes no time and gives the same bytes each time."""
    script = b"import sys\nopen(sys.argv[-1], 'wb').write(b'no forest')\n"
    (workspace / "examples/digits/train.py").write_bytes(script)
    return workspace
