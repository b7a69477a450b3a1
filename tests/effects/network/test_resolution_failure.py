"""uv's answers to resolutions that fail, read into data: kinds, packages and names."""

import os

import pytest

from mpbuild.effects.python.resolution_failure import (
    FailureKind,
    ResolutionError,
    read_failure,
    read_warnings,
)
from mpbuild.effects.python.uv import Uv, WheelPlatform

PLATFORM = WheelPlatform("3.11", (2, 36))
DIRECT = """\
  error: Failed to resolve dependencies for package `whole`
    cause: Package `part` was included as a URL dependency. URL dependencies must be expressed
"""
WARNING = (
    "warning: The package `a==1` does not have an extra named `x`\nResolved 1 package in 1ms\n"
)


@pytest.fixture
def uv():
    return Uv.find(os.environ)


@pytest.fixture
def failure(uv, make_index):
    """``failure(*requirements)``: the data of the error that uv's answer becomes."""
    from mpbuild.effects.python.index_views import IndexView

    index = make_index("own")
    index.release("demo", "1.0", "2.0", requires=("part>=2",))
    index.release("part", "1.0")
    index.put("source-1.0.tar.gz", b"x")

    def resolve(*requirements):
        with pytest.raises(ResolutionError) as caught:
            uv.compile(requirements, PLATFORM, IndexView.of(index.index))
        return caught.value.failure

    return resolve


def test_versions_that_exclude_each_other_are_a_conflict_that_mentions_the_packages(failure):
    found = failure("demo")
    assert found.kind is FailureKind.CONFLICT
    assert found.mentions("demo")
    assert found.mentions("part")
    assert not found.mentions("source")
    assert not found.mentions("dem")


def test_a_package_without_wheels_is_named(failure):
    found = failure("source")
    assert found.kind is FailureKind.NO_WHEEL
    assert found.packages == ("source",)
    assert found.mentions("source")


def test_a_dependency_by_url_names_both_packages():
    found = read_failure(DIRECT)
    assert (found.kind, found.packages) == (FailureKind.DIRECT_URL, ("whole", "part"))


@pytest.mark.parametrize(
    "text",
    [
        "error: Failed to fetch",
        "error: No solution found: an index could not be queried",
        "",
    ],
)
def test_an_index_that_cannot_be_read_is_no_conflict(text):
    assert read_failure(text).kind is FailureKind.UNREACHABLE


def test_names_are_normalized_and_whole():
    found = read_failure("No solution found: Because Typing_Extensions==1 and zope.interface<2")
    assert found.mentions("typing-extensions")
    assert found.mentions("zope-interface")
    assert not found.mentions("typing")
    assert not found.mentions("zope")


def test_warnings_of_a_success_are_a_failure_and_their_absence_is_none():
    found = read_warnings(WARNING)
    assert found
    assert found.kind is FailureKind.WARNING
    assert found.explanation == "The package `a==1` does not have an extra named `x`"
    assert read_warnings("Resolved 1 package in 1ms\n") is None


def test_logins_and_colours_are_removed():
    found = read_failure("\x1b[31merror\x1b[0m: https://me:secret@index.example/simple")
    assert "secret" not in found.explanation
    assert "\x1b" not in found.explanation


def test_an_error_keeps_its_failure_within_a_place():
    error = ResolutionError("no versions of demo").within("accelerators.cpu")
    assert error.findings[0].where == "accelerators.cpu"
    assert error.failure.mentions("demo")
