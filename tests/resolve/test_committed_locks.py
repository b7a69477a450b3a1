"""The Python locks of this repository, read by the library that defines the format."""

import tomllib
from pathlib import Path

import pytest
from packaging.pylock import Pylock, PylockSelectError

from mpbuild.formats.python import markers, pylock, wheel_tags

ROOT = Path(__file__).parents[2]
LOCKS = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("lockfiles/**/pylock.*.toml")
)
BASES = {"3.11": (2, 36), "3.13": (2, 41)}


def both(path):
    """The lock as packaging reads it, and as mpbuild does."""
    text = (ROOT / path).read_text()
    theirs = Pylock.from_dict(tomllib.loads(text))
    theirs.validate()
    return theirs, pylock.read(text, file=path)


def selected(lock, python):
    """What an installer takes of it on the base that has this Python: files by package."""
    environment = markers.environment(python)
    supported = list(wheel_tags.supported(python, BASES[python]))
    return {
        str(package.name): file.name
        for package, file in lock.select(environment=environment, tags=supported)
    }


def test_there_are_locks_to_look_at():
    assert len(LOCKS) >= 5


@pytest.mark.parametrize("path", LOCKS)
def test_packaging_accepts_a_committed_lock_and_takes_all_of_it(path):
    theirs, ours = both(path)
    wheels = {package.name: package.wheel.filename for package in ours.packages}
    assert selected(theirs, ours.python) == wheels


@pytest.mark.parametrize("path", LOCKS)
def test_packaging_refuses_a_committed_lock_on_another_python(path):
    theirs, ours = both(path)
    with pytest.raises(PylockSelectError):
        selected(theirs, "3.13" if ours.python == "3.11" else "3.11")


@pytest.mark.parametrize("path", LOCKS)
def test_a_committed_lock_is_the_text_that_mpbuild_writes(path):
    assert pylock.write(both(path)[1]) == (ROOT / path).read_text()
