"""The same package wherever it is built: interpreter, folder, locale, umask, user, network."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
NOBODY = 65534


class Surroundings(NamedTuple):
    """Everything around a build that must not matter to it."""

    python: str
    folder: str
    umask: int
    jobs: int
    variables: dict[str, str]
    disconnected: bool = False


HERE = Surroundings(
    python="3.11",
    folder="another checkout/mit Ümläuten und Löchern",
    umask=0o000,
    jobs=1,
    variables={"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "0"},
)
THERE = Surroundings(
    python="3.12",
    folder="c",
    umask=0o077,
    jobs=8,
    variables={"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4294967295"},
    disconnected=True,
)
ELSEWHERE = Surroundings(
    python="3.13",
    folder="d/e/f/g/モデル",
    umask=0o027,
    jobs=2,
    variables={"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "random", "PYTHONUTF8": "1"},
)


def find_python(version):
    """An interpreter of ``version`` that works; what is on PATH may be a mere shim."""
    managed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *managed):
        if candidate is not None:
            probe = "import sys, venv; print('%d.%d' % sys.version_info[:2], end='')"
            told = subprocess.run([candidate, "-c", probe], capture_output=True, check=False)
            if told.stdout.decode() == version:
                return candidate
    pytest.skip(f"no Python {version} is installed")
    return None


def runtime_requirements(checkout):
    """What mpbuild itself needs of the development lock, with its hashes."""
    wanted, waiting = set(), ["mpbuild"]
    while waiting:
        name = waiting.pop()
        with contextlib.suppress(PackageNotFoundError):
            for text in distribution(name).requires or ():
                found = Requirement(text)
                needed = canonicalize_name(found.name)
                if needed not in wanted and (not found.marker or found.marker.evaluate()):
                    wanted.add(needed)
                    waiting.append(needed)
    lock = (checkout / "lockfiles/dev/requirements.txt").read_text()
    pins = re.findall(r"^[\w.-]+==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    return "".join(pin for pin in pins if canonicalize_name(pin.partition("==")[0]) in wanted)


@pytest.fixture(scope="module")
def installed(checkout, tmp_path_factory):
    """``installed(version)``: an interpreter of that version that has mpbuild.

    It is the one that runs the tests, or has a wheel of mpbuild and what the lock pins installed.
    """
    folder = tmp_path_factory.mktemp("installed")

    def pip(*words):
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def install(version):
        if version == "{}.{}".format(*sys.version_info):
            return sys.executable
        base = find_python(version)
        python = folder / version / "bin/python"
        subprocess.run([base, "-m", "venv", "--without-pip", folder / version], check=True)
        requirements = folder / "requirements.txt"
        requirements.write_text(runtime_requirements(checkout))
        pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, checkout)
        (wheel,) = folder.glob("mpbuild-*.whl")
        into = ("--python", python, "install", "--quiet", "--no-deps", "--no-compile")
        pip(*into, "--only-binary", ":all:", "--require-hashes", "-r", requirements)
        pip(*into, wheel)
        return str(python)

    return install


@pytest.mark.parametrize(
    "around", [HERE, THERE, ELSEWHERE], ids=lambda around: f"python{around.python}"
)
def test_the_same_digest_whatever_is_around(
    digits, fresh, copied, installed, disconnected, tmp_path, around
):
    wrapper = ["sh", "-c", f'umask {around.umask:04o} && exec "$@"', "sh"]
    if around.disconnected:
        if not disconnected:
            pytest.skip("no namespace without a network can be made here")
        wrapper += disconnected
    homes = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_STATE_HOME")}
    for home in homes.values():
        home.mkdir()
    mpbuild = fresh._replace(
        workspace=copied(tmp_path / around.folder),
        python=installed(around.python),
        wrapper=wrapper,
        environment={
            "PATH": os.environ["PATH"],
            **{name: str(home) for name, home in homes.items()},
            **around.variables,
        },
    )
    target = mpbuild.build("--jobs", str(around.jobs)).target
    assert target["actions"]["run"] == target["actions"]["total"], "all of it was made again"
    assert target["package"]["digest"] == digits.digest


@pytest.fixture
def home_of_nobody(digits):
    """A folder that an ordinary user can own and reach."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    with tempfile.TemporaryDirectory(prefix="mpbuild-nobody-", dir="/tmp") as folder:
        home = Path(folder)
        yield home


@pytest.mark.root("the tests run as an ordinary user anyway")
def test_an_ordinary_user_builds_and_runs_the_same_package(digits, filled, home_of_nobody):
    mpbuild = filled(home_of_nobody / "store")._replace(
        python="python{}.{}".format(*sys.version_info),
        wrapper=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"],
        environment={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home_of_nobody),
            "TMPDIR": str(home_of_nobody),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
    )
    for blob in (home_of_nobody / "store/blobs/sha256").iterdir():
        # Of their own: one that others own could be neither linked nor dated by them.
        content = blob.read_bytes()
        blob.unlink()
        blob.write_bytes(content)
    for path in [home_of_nobody, *home_of_nobody.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    probe = mpbuild("--version")
    if probe.code != 0:
        pytest.skip(f"no {mpbuild.python} with our libraries that everybody may run: {probe.err}")
    assert mpbuild.build().digest == digits.digest
    response = mpbuild("run", digits.digest, stdin=digits.request.read_bytes())
    assert response.code == 0, response.err
    assert response.json["model_name"] == "digits"
    owners = {path.lstat().st_uid for path in home_of_nobody.rglob("*")}
    assert owners == {NOBODY}
