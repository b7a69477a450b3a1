"""A lock has the same bytes wherever, whenever and by whichever Python it is made."""

import itertools
import os
import subprocess
import sys
import tomllib

import pytest
import uv

from mpbuild.effects.python import interpreters

UV = uv.find_uv_bin()
# Locks the requirements in its arguments for the index in the first, "" being the user's.
PROGRAM = """\
import os, sys
from mpbuild.effects.python.indexes import PythonIndex as Index, find_index
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.python.index_views import IndexView as View
from mpbuild.effects.http.client import http_client
from mpbuild.formats.python import pylock
from mpbuild.locks import python_inputs as inputs; from mpbuild.resolve import python_lock as python

url, *requirements = sys.argv[1:]
wanted = inputs.inputs(requirements, python="3.11", suite="bookworm")
lock = python.lock(
    wanted,
    environment="cpu",
    view=View.of(Index("default", url) if url else find_index(os.environ)),
    uv=Uv.find(os.environ),
    web=http_client(os.environ),
)
sys.stdout.write(pylock.write(lock))
"""
# Whatever a machine may have of its own; each is tried with all others.
SURROUNDINGS = [
    {"TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "2", "UV_PYTHON": "3.13"},
]


def lock(folder, cache, url, *requirements, executable=sys.executable, **variables):
    """The text of the lock that is made in ``folder``, with this cache of uv."""
    folder.mkdir(exist_ok=True)
    environ = {**os.environ, **variables, "UV_CACHE_DIR": str(cache)}
    command = [executable, "-c", PROGRAM, url, *requirements]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_folder_cache_and_surroundings_leave_a_lock_as_it_is(wheels, tmp_path):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta", "Requires-Dist: Gamma_Two")
    wheels.add("beta-1.0-py3-none-any.whl")
    wheels.add("gamma_two-1.0-py3-none-any.whl")
    wheels.add("gamma_two-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    texts = [
        lock(tmp_path / folder, tmp_path / cache, wheels.index.url, "alpha", **variables)
        for folder, variables in itertools.product(["one", "two"], SURROUNDINGS)
        for cache in ["used", f"fresh-{folder}-{variables['TZ'].replace('/', '-')}"]
    ]
    assert len(texts) == 8
    assert len(set(texts)) == 1
    assert b'name = "gamma-two"' in texts[0]


@pytest.fixture(scope="module")
def pythons(checkout, python_path, tmp_path_factory):
    """Interpreters of two or more versions, by version, that can import mpbuild."""
    environ = os.environ | {"PATH": python_path}
    versions = ("3.11", "3.12", "3.13")
    found = {version: interpreters.find(version, UV, environ) for version in versions}
    there = {version: path for version, path in found.items() if path}
    if len(there) < 2:
        pytest.skip(f"of {', '.join(versions)} this machine has less than two: {list(there)}")
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    folder = tmp_path_factory.mktemp("pythons")
    return {
        version: installed(path, folder / version, project["dependencies"])
        for version, path in there.items()
    }


def installed(python, venv, dependencies):
    """The interpreter of a new environment with ``dependencies``."""
    subprocess.run([UV, "venv", "-q", "-p", python, venv], check=True, capture_output=True)
    install = (UV, "pip", "install", "-q", "--only-binary", ":all:", "-p", venv / "bin/python")
    done = subprocess.run([*install, *dependencies], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"mpbuild's dependencies can't be installed: {done.stderr.decode()}")
    return str(venv / "bin/python")


@pytest.mark.interop
@pytest.mark.network
def test_every_python_makes_the_same_lock(checkout, pythons, tmp_path):
    """Of a published set, with uv's cache of the user and without."""
    path = os.pathsep.join(str(checkout / name) for name in ("builder", "rules"))
    texts = {
        lock(
            *(tmp_path / version, tmp_path / f"cache-{version}", "", "onnxruntime"),
            executable=python,
            PYTHONPATH=path,
        )
        for version, python in pythons.items()
    }
    used = lock(tmp_path, tmp_path / f"cache-{next(iter(pythons))}", "", "onnxruntime")
    assert texts == {used}
