"""What tests of every room share."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something about the machine only.
settings.register_profile("mpbuild", deadline=None)
settings.load_profile("mpbuild")

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--renew-golden",
        action="store_true",
        help="write golden files anew instead of comparing; then look at what git diff says",
    )


def pytest_configure(config):
    if config.getoption("--renew-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--renew-golden: in CI golden files are compared, never renewed")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout these tests are in."""
    return ROOT


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
