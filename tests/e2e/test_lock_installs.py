"""What `fetch --wheels` leaves is enough for others: they install a lock's wheels, and only these.

uv, pip and pex read the lock as it stands, without a network.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import uv

from mpbuild.effects.python import interpreters

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox]

LOCKS = Path("lockfiles/examples/digits")
UV = uv.find_uv_bin()
TIME = 12  # of an entry of a zip archive's directory
# What installers write beside a wheel's own files.
WRITTEN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


@pytest.fixture
def beside(fresh, workspace):
    """The folder of the locks, with the wheels in it, as the command leaves it."""
    mpbuild = fresh._replace(workspace=workspace)
    done = mpbuild("fetch", "//examples/digits", "--accelerator", "cpu", "--wheels")
    assert done.code == 0, done.err
    assert done.json["files"] == 0
    return workspace / LOCKS


@pytest.fixture(scope="session")
def python311(python_path):
    found = interpreters.find("3.11", UV, os.environ | {"PATH": python_path})
    if found is None:
        pytest.skip("this machine has no Python 3.11, which the example's locks are for")
    return found


@pytest.fixture
def alone(disconnected, tmp_path):
    """``alone(words)``: run without a network, and with settings and caches of its own."""
    if not disconnected:
        pytest.skip("unshare can't take the network away from a command here")
    environ = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}

    def run(*words):
        command = [*disconnected, *map(str, words)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def installs(alone, python311, tmp_path):
    """``installs[tool](lock)``: install it somewhere; how that ended, and the places of files."""
    venv = tmp_path / "venv"
    site = venv / "lib/python3.11/site-packages"

    def made():
        done = alone(UV, "venv", "--offline", "--no-config", "--python", python311, venv)
        assert done.returncode == 0, done.stderr
        return venv / "bin/python"

    def by_uv(lock):
        return alone(UV, "pip", "sync", "--offline", "--no-config", "-p", made(), lock), site

    def by_pip(lock):
        pip = (sys.executable, "-m", "pip", "--isolated", "--python", made())
        return alone(*pip, "install", "--no-compile", "-r", lock), site

    return {"uv": by_uv, "pip": by_pip}


@pytest.fixture
def pexed(alone, python311, tmp_path):
    """``pexed(lock)``: a packed PEX of it; how that ended, and the folder."""

    def by_pex(lock):
        options = ("--python", python311, "--layout", "packed", "--pylock", lock)
        return alone(sys.executable, "-m", "pex", *options, "-o", tmp_path / "a.pex"), (
            tmp_path / "a.pex"
        )

    return by_pex


def locked(lock):
    """The wheels of a lock, by file name their sha256."""
    packages = tomllib.loads(lock.read_text())["packages"]
    wheels = [wheel for package in packages for wheel in package["wheels"]]
    return {wheel["name"]: wheel["hashes"]["sha256"] for wheel in wheels}


def members(wheels):
    """The files that wheels put into site-packages, with digests of their contents."""
    found = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            found |= {
                name: hashlib.sha256(archive.read(name)).hexdigest()
                for name in archive.namelist()
                if not name.endswith("/") and ".data/" not in name and not written(name)
            }
    return found


def written(name):
    folder, _, last = name.rpartition("/")
    return folder.endswith(".dist-info") and last in WRITTEN


def contents(site):
    """What is in site-packages, without what the environment itself has there."""
    names = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not written(name) and not name.startswith("_virtualenv.")
    }


@pytest.mark.parametrize("environment", ["cpu", "train"])
def test_the_wheels_beside_a_lock_are_those_of_the_lock(beside, environment):
    for name, digest in locked(beside / f"pylock.{environment}.toml").items():
        assert hashlib.sha256((beside / "wheels" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(("tool", "environment"), [("uv", "train"), ("pip", "cpu")])
def test_an_installer_installs_exactly_the_lock(beside, installs, tool, environment):
    lock = beside / f"pylock.{environment}.toml"
    done, site = installs[tool](lock)
    assert done.returncode == 0, done.stderr
    assert contents(site) == members(beside / "wheels" / name for name in locked(lock))


def test_pex_takes_exactly_the_lock(beside, pexed):
    lock = beside / "pylock.cpu.toml"
    done, folder = pexed(lock)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "PEX-INFO").read_text())["distributions"].keys() == set(
        locked(lock)
    )


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_an_installer_refuses_a_wheel_with_other_bytes(beside, installs, tool):
    lock = beside / "pylock.cpu.toml"
    tampered(beside)
    done, site = installs[tool](lock)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()
    assert not (site / "flatbuffers").exists()


def test_pex_refuses_a_wheel_with_other_bytes(beside, pexed):
    tampered(beside)
    done, folder = pexed(beside / "pylock.cpu.toml")
    assert done.returncode != 0
    assert not folder.exists()


def tampered(beside):
    """One wheel says of a file another time, in as many bytes, and is a sound wheel."""
    (wheel,) = (beside / "wheels").glob("flatbuffers-*.whl")
    data = bytearray(wheel.read_bytes())
    data[data.index(b"PK\1\2") + TIME] ^= 1
    wheel.write_bytes(data)
    assert zipfile.ZipFile(wheel).testzip() is None
