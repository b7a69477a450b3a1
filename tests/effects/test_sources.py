"""What patterns mean, and which files may be sources."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.workspace import sources

PART = st.sampled_from(["a", "b", "ab", "a.py", "b.py", ".a", ".a.py", "__pycache__", "ü", "[a]"])
PATHS = st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), max_size=8)
PATTERN_PART = st.sampled_from(
    ["a", "b", "*", "**", "*.py", "?", "a*", "?b", ".*", ".a", "*b*", "[a]", "??", "ü"]
)
PATTERNS = st.lists(PATTERN_PART, min_size=1, max_size=4).map("/".join)


def means(pattern, path):
    """Whether a pattern names a path, by trying: the words of ``sources.match``, slowly."""
    if not pattern or not path:
        return not pattern and not path
    first, *rest = pattern
    if first == "**":
        here = not path[0].startswith(".")
        if not rest:
            return here and (len(path) == 1 or means(pattern, path[1:]))
        return means(rest, path) or (here and len(path) > 1 and means(pattern, path[1:]))
    return glob(first, path[0]) and means(rest, path[1:])


def glob(part, name):
    if name.startswith(".") and part[0] in "*?":
        return False
    if not part:
        return not name
    if part[0] == "*":
        return any(tail(part[1:], name[i:]) for i in range(len(name) + 1))
    return tail(part, name)


def tail(part, name):
    if not part:
        return not name
    if part[0] == "*":
        return any(tail(part[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and part[0] in ("?", name[0]) and tail(part[1:], name[1:])


def fill(root, paths):
    """Make the files whose places aren't taken; the paths that exist then."""
    made = set()
    for path in paths:
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch(exist_ok=True)
        except OSError:
            continue
        if (root / path).is_file():
            made.add(path)
    return made


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=PATHS, pattern=PATTERNS, folder=st.sampled_from(["", "models/m"]))
def test_a_pattern_matches_what_its_words_mean(tmp_path_factory, paths, pattern, folder):
    root = tmp_path_factory.mktemp("w")
    made = fill(root / folder, paths)
    wild = set(pattern) & set("*?")
    expected = [
        path
        for path in made
        if means(pattern.split("/"), path.split("/"))
        and not (wild and "__pycache__" in path.split("/")[:-1])
    ]
    found = sources.match(root, folder, pattern)
    prefix = f"{folder}/" if folder else ""
    assert found == sorted((prefix + path for path in expected), key=os.fsencode)


def workspace(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("src/**/*.py", ["m/src/a.py", "m/src/p/b.py", "m/src/p/q/c.py"]),
        ("src/*.py", ["m/src/a.py"]),
        ("src/*/*.py", ["m/src/p/b.py"]),
        ("src/**", ["m/src/a.py", "m/src/data.txt", "m/src/p/b.py", "m/src/p/q/c.py"]),
        ("**/b.py", ["m/src/p/b.py"]),
        ("src/a.py", ["m/src/a.py"]),
        ("src/p", []),
        ("src/none.py", []),
        ("none/*.py", []),
        ("src/a.py/*.py", []),
        ("../common/*.py", ["common/s.py"]),
        ("../common/s.py", ["common/s.py"]),
        ("../**/s.py", ["common/s.py"]),
        ("src/.*", ["m/src/.hidden.py"]),
        ("src/.h*/**", ["m/src/.h/inner.py"]),
    ],
)
def test_patterns_are_relative_to_their_folder_and_results_to_the_root(tmp_path, pattern, found):
    root = workspace(
        tmp_path,
        "m/src/a.py",
        "m/src/data.txt",
        "m/src/p/b.py",
        "m/src/p/q/c.py",
        "m/src/.hidden.py",
        "m/src/.h/inner.py",
        "m/src/p/__pycache__/b.py",
        "m/src/__pycache__/a.py",
        "common/s.py",
    )
    assert sources.match(root, "m", pattern) == found


def test_results_are_sorted_by_their_bytes(tmp_path):
    root = workspace(tmp_path, "b", "a/z", "a.b", "ü", "B", "Z")
    assert sources.match(root, "", "**") == ["B", "Z", "a.b", "a/z", "b", "ü"]


def test_folders_behind_links_are_not_searched(tmp_path):
    root = workspace(tmp_path, "real/a.py")
    (root / "link").symlink_to("real")
    (root / "loop").symlink_to(".")
    assert sources.match(root, "", "**/*.py") == ["real/a.py"]
    assert sources.match(root, "", "link/a.py") == ["link/a.py"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """Not a folder without files: a build must not go on without them."""
    workspace(tmp_path, "src/locked/a.py")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="can't be read: Permission denied") as caught:
        sources.match(tmp_path, "", "src/**/*.py")
    assert caught.value.findings[0].where.endswith("src/locked")


def test_looking_tells_what_a_file_is(tmp_path):
    path = workspace(tmp_path, "a") / "a"
    path.chmod(0o755)
    seen, status = sources.look(tmp_path, "a"), path.stat()
    assert seen == (1, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, True)
    path.chmod(0o655)
    assert not sources.look(tmp_path, "a").executable


def test_a_link_inside_of_the_workspace_is_its_file(tmp_path):
    root = workspace(tmp_path, "real/a.py")
    (root / "link.py").symlink_to("real/a.py")
    (root / "folder").symlink_to(root / "real")
    for path in ("link.py", "folder/a.py"):
        assert sources.look(root, path) == sources.look(root, "real/a.py")
        assert sources.digest(root, path) == Digest.of(b"real/a.py")


@pytest.mark.parametrize("link", ["file.py", "folder"])
def test_a_link_out_of_the_workspace_is_refused(tmp_path, link):
    workspace(tmp_path, "outside/x.py", "root/a.py")
    root = tmp_path / "root"
    (root / "file.py").symlink_to("../outside/x.py")
    (root / "folder").symlink_to(tmp_path / "outside")
    path = link if link.endswith(".py") else f"{link}/x.py"
    with pytest.raises(InputError, match="leads out of the workspace") as caught:
        sources.look(root, path)
    assert caught.value.findings[0].where == path


def test_a_workspace_may_itself_lie_behind_a_link(tmp_path):
    workspace(tmp_path, "real/a.py")
    (tmp_path / "link").symlink_to("real")
    assert sources.match(tmp_path / "link", "", "*.py") == ["a.py"]
    assert sources.look(tmp_path / "link", "a.py").size == len("real/a.py")


@pytest.mark.parametrize("target", ["loop", "none"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path, target):
    (tmp_path / "loop").symlink_to(target)
    with pytest.raises(InputError, match="can't be read"):
        sources.look(tmp_path, "loop")
    with pytest.raises(InputError, match="can't be read"):
        sources.digest(tmp_path, "loop")


def test_what_is_no_regular_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in ("pipe", "folder", "socket"):
            with pytest.raises(InputError, match="is not a regular file"):
                sources.look(tmp_path, path)


@pytest.mark.parametrize("name", [b"new\nline.py", b"\xff.py", b"esc\x1b[31m.py"])
def test_a_name_that_is_no_plain_text_is_refused(tmp_path, name):
    (tmp_path / os.fsdecode(name)).touch()
    (path,) = sources.match(tmp_path, "", "*.py")
    with pytest.raises(InputError, match="the name has unprintable characters") as caught:
        sources.look(tmp_path, path)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_a_change_right_before_the_first_look_is_not_settled(tmp_path):
    path = workspace(tmp_path, "a") / "a"
    seen = sources.look(tmp_path, "a")
    changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    assert not seen.settled(changed)
    assert not seen.settled(changed + 999_999_999)
    assert seen.settled(changed + 1_000_000_001)
