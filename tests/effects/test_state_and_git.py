"""The user's own state folder, and what is known of the repository."""

import os
import shutil
import subprocess

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.files import user_state
from mpbuild.effects.workspace import git

PACKAGE = Digest.of(b"package")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("mask", [0, 0o077])
def test_records_lie_where_nobody_else_can_write_whatever_the_umask(home, mask):
    before = os.umask(mask)
    try:
        path = user_state.keep_record(b"record", PACKAGE)
    finally:
        os.umask(before)
    assert path == home / f".local/state/mpbuild/records/{Digest.of(b'record').hex}.json"
    assert path.read_bytes() == user_state.record_of(PACKAGE) == b"record"
    assert user_state.folder().stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_others_can_enter_is_closed(home):
    (home / ".local/state/mpbuild").mkdir(parents=True, mode=0o777)
    assert user_state.folder().stat().st_mode & 0o777 == 0o700


def test_the_last_record_of_a_package_counts(home):
    first = user_state.keep_record(b"one", PACKAGE)
    user_state.keep_record(b"two", PACKAGE)
    assert user_state.record_of(PACKAGE) == b"two"
    assert first.read_bytes() == b"one"
    assert user_state.record_of(Digest.of(b"other")) is None


def test_the_folder_can_be_named(home, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert user_state.folder() == tmp_path / "elsewhere/mpbuild"


@pytest.mark.parametrize("named", ["", "relative/path"])
def test_a_relative_folder_is_ignored_as_the_specification_wants_it(home, monkeypatch, named):
    monkeypatch.setenv("XDG_STATE_HOME", named)
    assert user_state.folder() == home / ".local/state/mpbuild"


def test_a_user_without_a_home_is_reported(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)
    with pytest.raises(InputError, match="has no home folder"):
        user_state.folder()


def test_a_folder_that_cannot_be_made_is_reported(home):
    (home / ".local").write_text("")
    with pytest.raises(EnvironmentFailureError):
        user_state.keep_record(b"record", PACKAGE)


# ---- git


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="there is no git")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, made without anybody's configuration."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / "repository"
    (root / "inner").mkdir(parents=True)
    (root / "file").write_text("one\n")
    (root / "inner/file").write_text("one\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", root, *words], check=True, capture_output=True)
    return root


@needs_git
def test_a_clean_repository_has_a_commit(repository):
    found = git.repository_state(repository)
    assert len(found.commit) == 40
    assert not found.dirty
    assert git.repository_state(repository / "inner") == found


@needs_git
@pytest.mark.parametrize("change", ["file", "new"])
def test_whatever_differs_makes_it_dirty(repository, change):
    commit = git.repository_state(repository).commit
    (repository / change).write_text("two\n")
    assert (git.repository_state(repository).commit, git.repository_state(repository).dirty) == (
        commit,
        True,
    )


@needs_git
def test_what_lies_outside_of_the_workspace_does_not_count(repository):
    (repository / "file").write_text("two\n")
    assert not git.repository_state(repository / "inner").dirty


@needs_git
def test_a_repository_without_a_commit_has_none(tmp_path, repository):
    subprocess.run(["git", "init", "-q", tmp_path / "empty"], check=True)
    assert git.repository_state(tmp_path / "empty").commit is None


@needs_git
def test_the_environment_of_a_hook_leads_nowhere_else(repository, tmp_path, monkeypatch):
    commit = git.repository_state(repository).commit
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert git.repository_state(repository).commit == commit


@needs_git
def test_looking_at_a_repository_runs_nothing_that_it_names(repository, tmp_path):
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    script.chmod(0o755)
    with (repository / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "{script}"\n')
    git.repository_state(repository)
    assert not (tmp_path / "ran").exists()


def test_outside_of_a_repository_nothing_is_known(tmp_path):
    found = git.repository_state(tmp_path)
    assert (found.commit, found.dirty) == (None, True)


def test_without_git_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = git.repository_state(tmp_path)
    assert (found.commit, found.dirty) == (None, True)
