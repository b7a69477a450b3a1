"""Paths of a spec stay inside the workspace, including hostile ones."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.spec import path_kinds
from mpbuild.spec.kinds import Text
from mpbuild.spec.paths import fault, import_root, is_pattern, resolve


@pytest.mark.parametrize(
    ("pattern", "root"),
    [
        ("src/**/*.py", "src"),
        ("src/digits/*.py", "src/digits"),
        ("src/dig?ts/model.py", "src"),
        ("lib*/x.py", ""),
        ("*.py", ""),
        ("model.py", ""),
        ("src/model.py", "src"),
        ("../common/**", "../common"),
    ],
)
def test_the_import_root_is_what_comes_before_the_first_wildcard(pattern: str, root: str) -> None:
    assert import_root(pattern) == root


@pytest.mark.parametrize(("path", "wild"), [("a/b", False), ("a/*", True), ("a?", True)])
def test_a_pattern_holds_a_wildcard(path: str, wild: bool) -> None:
    assert is_pattern(path) is wild


@pytest.mark.parametrize(
    ("folder", "path", "found"),
    [
        ("", "a/b", "a/b"),
        ("models/digits", "train.py", "models/digits/train.py"),
        ("models/digits", "../common/x.py", "models/common/x.py"),
        ("models", "a/../b", "models/b"),
        ("models", "../x", "x"),
        ("models", "..", ""),
        ("models", "../**/*.py", "**/*.py"),
    ],
)
def test_a_path_is_seen_from_the_root_of_the_workspace(folder: str, path: str, found: str) -> None:
    assert resolve(folder, path) == found


@pytest.mark.parametrize(
    ("folder", "path"), [("", "../x"), ("a", "../../x"), ("a/b", "c/../../../../a")]
)
def test_a_path_that_leaves_the_workspace_is_refused(folder: str, path: str) -> None:
    with pytest.raises(InputError, match="leaves the workspace"):
        resolve(folder, path)


def test_a_path_that_leaves_and_comes_back_is_refused_too() -> None:
    """What lies outside of the workspace has no name inside of it."""
    with pytest.raises(InputError, match="leaves the workspace"):
        resolve("a", "../../a/x")


parts = st.lists(st.sampled_from(["a", "b", ".."]), min_size=1, max_size=8)


@given(st.lists(st.sampled_from(["m", "n"]), max_size=3), parts)
def test_resolving_agrees_with_posix(folder: list[str], path: list[str]) -> None:
    joined = "/".join(folder + path)
    try:
        found = resolve("/".join(folder), "/".join(path))
    except InputError:
        depths = [sum(-1 if p == ".." else 1 for p in (folder + path)[:n]) for n in range(1, 12)]
        assert min(depths) < 0
    else:
        assert (found or ".") == posixpath.normpath(joined)


texts = st.lists(
    st.sampled_from(
        ["a", "b.py", "/", "/", ".", "..", "*", "**", "?", "~", "\\", "\0", ".wh.", "é"]
    ),
    max_size=7,
).map("".join)


@given(texts)
def test_the_pattern_of_the_schema_and_the_telling_reason_agree(text: str) -> None:
    """So no path is refused without saying why, and none accepted with a fault."""
    for pattern, reason in [
        (path_kinds.PATTERN, fault(text)),
        (path_kinds.FILE, path_kinds.fault_of_file(text)),
        (path_kinds.INNER, path_kinds.fault_of_inner(text)),
    ]:
        assert Text(what="a path", pattern=pattern).accepts(text) == (not reason)
