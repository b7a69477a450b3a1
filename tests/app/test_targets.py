"""Which workspace, which store, which targets: what words on the command line mean."""

from pathlib import Path

import pytest

from mpbuild.app.workspace.targets import find_root, labels, store_path
from mpbuild.base.errors import InputError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A workspace with targets //, //a, //a/b, //c; others are ignored or hidden."""
    for name in ("MPBUILD_STORE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = tmp_path / "workspace"
    for folder in (".", "a", "a/b", "c", "third_party/x", ".hidden", "empty"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        if folder != "empty":
            (root / folder / "model.toml").touch()
    (root / "mpbuild.toml").write_text('[workspace]\nignore = ["third_party"]\n')
    return root


@pytest.mark.parametrize("start", [".", "a/b", "empty"])
def test_the_workspace_is_the_nearest_folder_with_its_file(root, start):
    assert find_root(root / start) == root


def test_an_inner_workspace_is_nearer(root):
    (root / "a/mpbuild.toml").touch()
    assert find_root(root / "a/b") == root / "a"


def test_outside_of_a_workspace_there_is_none(tmp_path):
    with pytest.raises(InputError, match=r"no mpbuild\.toml here or in a parent folder"):
        find_root(tmp_path)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["//", "//a", "//a/b", "//c"]),
        (["//..."], ["//", "//a", "//a/b", "//c"]),
        (["//a/..."], ["//a", "//a/b"]),
        (["//c", "//a/...", "//c"], ["//c", "//a", "//a/b"]),
        (["//"], ["//"]),
        (["."], ["//a"]),
        (["b", "../c"], ["//a/b", "//c"]),
        ([".."], ["//"]),
        (["//third_party/x"], ["//third_party/x"]),
    ],
)
def test_words_mean_targets(root, words, found):
    assert labels(root, words, root / "a") == found


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("//a/x", "//a/x is no target: a/x/model.toml does not exist", "did you mean //a"),
        ("empty", "//empty is no target", "did you mean"),
        ("//x/...", "//x/... matches no target", ""),
        ("..", "outside of the workspace", ""),
        ("//a//b", "not a label", "//examples/digits"),
        ("//third_party/...", "matches no target", ""),
    ],
)
def test_words_that_mean_nothing_are_reported(root, word, message, hint):
    with pytest.raises(InputError) as caught:
        labels(root, [word], root)
    assert message in str(caught.value)
    assert hint in caught.value.findings[0].hint


def test_links_to_folders_are_not_searched(root):
    (root / "link").symlink_to("a")
    (root / "loop").symlink_to(".")
    assert labels(root, [], root) == ["//", "//a", "//a/b", "//c"]


def setting(root, value):
    (root / "mpbuild.toml").write_text(f'[store]\npath = "{value}"\n')


def test_the_store_is_what_the_option_says_before_all(root, monkeypatch):
    monkeypatch.setenv("MPBUILD_STORE", "/elsewhere")
    setting(root, "other")
    assert store_path("mine", root / "a") == root / "a/mine"
    assert store_path("~/mine", root) == Path.home() / "mine"


def test_then_what_the_environment_says(root, monkeypatch):
    monkeypatch.setenv("MPBUILD_STORE", "/elsewhere")
    setting(root, "other")
    assert store_path(None, root) == Path("/elsewhere")


def test_then_what_the_workspace_says_seen_from_its_root(root):
    setting(root, "other")
    assert store_path(None, root / "a") == root / "other"
    setting(root, "~/other")
    assert store_path(None, root / "a") == Path.home() / "other"


def test_then_the_users_cache(root, monkeypatch, tmp_path):
    assert store_path(None, root) == Path.home() / ".cache/mpbuild"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store_path(None, root) == tmp_path / "cache/mpbuild"
    assert store_path(None, tmp_path) == tmp_path / "cache/mpbuild"


@pytest.mark.parametrize(
    "text", ["not toml", "[store]\npath = 5\n", '[store]\npath = ["a"]\n', "\xff"]
)
def test_a_workspace_file_that_is_wrong_is_the_readers_business(root, text):
    (root / "mpbuild.toml").write_text(text, encoding="latin-1")
    assert store_path(None, root) == Path.home() / ".cache/mpbuild"


def test_a_store_behind_a_link_is_where_the_link_leads(root, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert store_path(str(tmp_path / "link"), root) == tmp_path / "real"


def test_a_home_that_nobody_has_is_reported(root):
    with pytest.raises(InputError, match="is in the home folder") as caught:
        store_path("~nobody-of-this-name/store", root)
    assert "name a store with --store" in caught.value.findings[0].hint
