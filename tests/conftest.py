"""What tests of every room share."""

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.making.example import copy_store, prepare_digits
from tests.making.indexes import FolderIndex

# How long an example takes says something about the machine only.
settings.register_profile("mpbuild", deadline=None)
settings.load_profile("mpbuild")

ROOT = Path(__file__).parent.parent
# What podman needs where it runs as root without systemd and without a network of its own.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
log_driver = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""

SMALLEST_WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""
SMALLEST_MODEL = """\
schema_version = 1
[package]
name = "tiny"
version = "1.0.0"
summary = "As small as a model can be."
owners = ["nobody"]
license = "Apache-2.0"
[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "tiny:Model"
sources = ["tiny.py"]
[io]
version = "1.0.0"
inputs = [{ name = "x", datatype = "FP32", shape = [1] }]
outputs = [{ name = "y", datatype = "FP32", shape = [1] }]
[environment]
version = "1.0.0"
python = "3.11"
base = "bookworm"
"""


def pytest_addoption(parser):
    parser.addoption(
        "--renew-golden",
        action="store_true",
        help="write golden files anew instead of comparing; then look at what git diff says",
    )


def pytest_configure(config):
    if config.getoption("--renew-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--renew-golden: in CI golden files are compared, never renewed")


def pytest_runtest_setup(item):
    marker = item.get_closest_marker("root")
    if marker and os.geteuid():
        pytest.skip(*marker.args)


@pytest.fixture(scope="session", autouse=True)
def temporary_folders(tmp_path_factory):
    """Temporary files, caches and records of this test run go to pytest's own folder.

    pytest removes that folder when all tests pass, so a run leaves nothing behind.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout these tests are in."""
    return ROOT


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, request):
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def digits(checkout, run_folder):
    """The example, fetched and built by whichever worker comes first."""
    return prepare_digits(checkout, run_folder / "digits")


@pytest.fixture(scope="session")
def shared_store(digits, run_folder):
    """A store that all tests may write to; it begins as a copy of the example's."""
    store = run_folder / "shared-store"
    with (run_folder / "shared-store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            copy_store(digits, store.with_suffix(".part"))
            store.with_suffix(".part").rename(store)
    return store


@pytest.fixture(scope="session")
def checkout_files(checkout) -> tuple[str, ...]:
    """Every file of the checkout that git tracks, or would after ``git add``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=checkout, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout, so nobody can say which files belong to it: {error}")
    names = dict.fromkeys(listing.decode().split("\0"))
    return tuple(name for name in names if name and (checkout / name).is_file())


@pytest.fixture
def make_index(tmp_path):
    """``make_index(name)``: a package index of that name, in a folder of its own."""

    def make(name: str) -> FolderIndex:
        return FolderIndex(name, tmp_path / f"simple-{name}")

    return make


@pytest.fixture(scope="session")
def smallest_workspace() -> str:
    """An mpbuild.toml that ends in the table of its base, bookworm."""
    return SMALLEST_WORKSPACE


@pytest.fixture(scope="session")
def smallest_model() -> str:
    """A model.toml without accelerators that ends in [environment]."""
    return SMALLEST_MODEL


@pytest.fixture(scope="session")
def python_path() -> str:
    """A PATH with every Python of this machine on it, those too that pyenv keeps in reserve."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin"))
    return os.pathsep.join([*map(str, kept), os.environ.get("PATH", os.defpath)])


@pytest.fixture
def podman():
    """``podman(*words)``: what it prints; its storage is its own, at a path that is short."""
    for tool in ("podman", "runc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    user = pwd.getpwuid(os.geteuid()).pw_name
    ranges = Path("/etc/subuid")
    if os.geteuid() and not (ranges.is_file() and f"{user}:" in ranges.read_text()):
        pytest.skip(f"{user} has no range of subordinate users, which an image's user needs")
    if os.geteuid() and shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed, which podman needs for an ordinary user")
    with tempfile.TemporaryDirectory(prefix="mpbuild-", dir="/tmp") as folder:
        settings = Path(folder, "containers.conf")
        settings.write_text(CONTAINERS)
        command = ("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run")
        environment = os.environ | {"CONTAINERS_CONF": str(settings), "HOME": folder}
        # vfs, which an ordinary user gets otherwise, copies all lower layers for each layer.
        overlay = (*command, "--storage-driver", "overlay")
        probe = subprocess.run(
            [*overlay, "info"], env=environment, capture_output=True, check=False
        )
        if probe.returncode == 0:
            command = overlay

        def run(*words, **options):
            words = (*command, *words)
            done = subprocess.run(
                words, env=environment, capture_output=True, check=False, **options
            )
            assert done.returncode == 0, done.stderr.decode()
            return done.stdout

        yield run
        run("rmi", "--all", "--force")
