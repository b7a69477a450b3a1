"""The toolchain's locks: they match mpbuild's declarations, are in its wheel, and share layers."""

import subprocess
import sys
import zipfile

import pytest

from mpbuild.app.build import toolchain
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.derive import image_layers
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.installation import find_installation, toolchain_folder
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.locks import drift

FILES = {"debian.toolchain.toml", "pylock.toolchain.toml"}


@pytest.fixture
def read():
    return toolchain.read_toolchain(find_installation().toolchain)


def test_the_locks_answer_to_what_is_declared():
    place = toolchain.environment(find_installation().toolchain)
    python, debian = place.python_file.read_text(), place.debian_file.read_text()
    whose = {"environment": place.name}
    assert (
        drift.check_python(python, place.python, **whose, file=place.python_file.name).findings
        == []
    )
    assert (
        drift.check_debian(debian, place.debian, **whose, file=place.debian_file.name).findings
        == []
    )


def test_what_is_read_are_the_files_as_they_are(read, checkout):
    folder = checkout / "lockfiles/toolchain"
    assert {path.name for path in folder.iterdir()} == FILES
    assert read.files == {name: (folder / name).read_bytes() for name in FILES}
    assert pylock.write(read.locks.python).encode() == read.files["pylock.toolchain.toml"]
    assert deblock.write(read.locks.debian).encode() == read.files["debian.toolchain.toml"]


def test_pex_is_the_one_wheel_and_pinned(read):
    (package,) = read.locks.python.packages
    assert (f"{package.name}=={package.version}",) == toolchain.REQUIREMENTS
    assert read.locks.python.python == toolchain.PYTHON


def test_it_shares_the_base_layer_of_the_example(read, checkout):
    """If this fails, one of the locks is older: ``make lock-toolchain`` renews them."""
    folder = checkout / "lockfiles/examples/digits"
    name = "debian.cpu.toml"
    example = EnvironmentLocks(
        read.locks.python, deblock.read((folder / name).read_text(), file=name)
    )
    own, others = (
        image_layers.environment_layers(locks, toolchain.PYTHON)[0]
        for locks in (read.locks, example)
    )
    assert own == others
    assert own.title.startswith("base: ")


def test_the_wheel_of_mpbuild_brings_them(checkout, tmp_path, read):
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        brought = {
            name.removeprefix("mpbuild/toolchain/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("mpbuild/toolchain/")
        }
    assert brought == read.files


def test_an_installed_mpbuild_reads_those_of_its_wheel(tmp_path, read):
    folder = tmp_path / "site-packages/mpbuild/toolchain"
    folder.mkdir(parents=True)
    for name, data in read.files.items():
        (folder / name).write_bytes(data)
    assert toolchain_folder(folder.parent) == folder
    assert toolchain.read_toolchain(folder) == read


def test_an_mpbuild_without_them_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(EnvironmentFailureError) as caught:
        toolchain.read_toolchain(toolchain_folder(tmp_path / "a/mpbuild"))
    (finding,) = caught.value.findings
    assert finding.code == "lock-missing"
    assert finding.hint == "reinstall mpbuild: they are part of it"
