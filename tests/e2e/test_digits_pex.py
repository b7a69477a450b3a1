"""The example's PEX: written out as a folder, it predicts here what the image predicts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """The PEX, written out of the layout."""
    path = tmp_path_factory.mktemp("exported") / "digits.pex"
    answer = digits.mpbuild("export", digits.layout, "--pex", path)
    assert answer.code == 0, answer.err
    assert (answer.json["kind"], answer.json["accelerator"]) == ("pex", "cpu")
    return path


@pytest.fixture(scope="module")
def python():
    """A Python 3.11 of this machine; what is on PATH may be a mere shim."""
    for candidate in (sys.executable, shutil.which("python3.11")):
        if candidate is not None:
            probe = [candidate, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return candidate
    pytest.skip("no Python 3.11 is installed, which the PEX is for")
    return None


def contents(folder):
    """Path to bytes, links, or None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def test_the_pex_predicts_what_the_image_predicts(digits, folder, python, tmp_path):
    request = digits.request.read_bytes()
    image = digits.mpbuild("run", digits.layout, stdin=request)
    assert image.code == 0, image.err
    before = contents(folder)
    done = subprocess.run(
        [python, folder / "pex"],
        input=request,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PEX_ROOT": str(tmp_path / "root")},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == image.json
    assert contents(folder) == before, "its folder stays as it was exported"


def test_files_of_the_workspace_stand_in_it_byte_for_byte(digits, folder):
    model = digits.mpbuild.workspace / "examples/digits"
    sources = sorted((model / "src").rglob("*.py"))
    assert len(sources) > 1
    for source in sources:
        path = source.relative_to(model / "src")
        assert (folder / path).read_bytes() == source.read_bytes(), path
    lock = Path("lockfiles/examples/digits/pylock.cpu.toml")
    taken = (digits.mpbuild.workspace / lock).read_bytes()
    assert (folder / lock.name).read_bytes() == taken
    assert not (folder / "pylock.cuda.toml").exists()


def pex_files(folder):
    """The files of the PEX; other tests attach signatures to the package in the shared store."""
    return {
        path: data for path, data in contents(folder).items() if not path.startswith(".mpbuild/")
    }


def test_store_and_layout_export_the_same_pex(digits, folder, tmp_path):
    answer = digits.mpbuild("export", digits.digest, "--pex", tmp_path / "again")
    assert answer.code == 0, answer.err
    again, first = pex_files(tmp_path / "again"), pex_files(folder)
    assert again == first
    executable = {name for name in first if os.access(folder / name, os.X_OK)}
    assert executable == {name for name in again if os.access(tmp_path / "again" / name, os.X_OK)}
