"""The user's own state folder, and what is known of the repository."""

import os

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.files import user_state

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
