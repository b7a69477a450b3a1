"""The same tests without root, where the kernel only grants user namespaces."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.root("only root can become someone else"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv"),
]
NOBODY = 65534
HERE = Path(__file__).parent
CHECK = "import pytest, sys, mpbuild.effects.sandbox; open(sys.executable)"
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]


@pytest.fixture
def environment():
    # Not below pytest's own folder, which only its owner can enter.
    home = Path(tempfile.mkdtemp(prefix="mpbuild-nobody-", dir="/tmp"))
    os.chown(home, NOBODY, NOBODY)
    yield {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    shutil.rmtree(home)


@pytest.fixture
def python(environment):
    """An interpreter of this version that every user can run."""
    version = "python{}.{}".format(*sys.version_info)
    for candidate in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        works = subprocess.run(
            [*AS_NOBODY, candidate, "-c", CHECK], env=environment, capture_output=True, check=False
        )
        if works.returncode == 0:
            return candidate
    pytest.skip(f"no {version} with our libraries that everybody may run")


def test_an_ordinary_user_passes_the_same_tests(python, environment):
    environment["PATH"] = os.pathsep.join([str(Path(python).parent), environment["PATH"]])
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        "not host] and not test_root_is",
    ]
    places = [f"--rootdir={HERE.parents[2]}", f"--basetemp={environment['HOME']}/t"]
    tests = [HERE / f"test_sandbox_{name}.py" for name in ("escapes", "run", "steps")]
    told = subprocess.run(
        [*AS_NOBODY, python, "-m", "pytest", *options, *places, *tests],
        env=environment,
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "passed" in told.stdout.splitlines()[-1]
    assert "skipped" not in told.stdout.splitlines()[-1]
