"""Whatever mpbuild is started with: closed or full streams, no home, odd locales, odd folders."""

import json
import os
import shutil
import subprocess

import pytest

FULL = "/dev/full"


def shell(script):
    """What starts a command by a shell script in which it is ``"$@"``."""
    return ["bash", "-c", script, "bash"]


WORDS = {
    "version": ("--version",),
    "help": ("--help",),
    "help of a command": ("build", "--help"),
    "schema": ("schema",),
    "result": ("store", "stats"),
    "JSON": ("--format", "json", "store", "stats"),
    "JSON of a failure": ("--format", "json", "build"),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_reader_that_went_away_is_no_reason_to_complain(mpbuild, words):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        answer = mpbuild(*words, stdout=stdout)
    assert (answer.code, answer.err) == (3, "")


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_full_disk_behind_stdout_is_reported(mpbuild, words):
    with open(FULL, "wb", buffering=0) as stdout:  # noqa: PTH123
        answer = mpbuild(*words, stdout=stdout)
    failed = words == WORDS["JSON of a failure"]
    assert answer.code == (2 if failed else 3)
    if words != WORDS["version"]:
        assert answer.err.startswith("error[disk-full] ")
        assert "No space left on device" in answer.err


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_nothing_depends_on_stderr(mpbuild, words):
    usual = mpbuild(*words)
    with open(FULL, "wb", buffering=0) as stderr:  # noqa: PTH123
        answer = mpbuild(*words, stderr=stderr)
    assert answer == usual._replace(err="")
    assert mpbuild(*words, before=shell('exec "$@" 2>&-')) == usual._replace(err="")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_taken_for_files(mpbuild, tmp_path, closed):
    """The lowest free number would be the next file's: a store's lock must not be written to."""
    usual = mpbuild("--store", "store", "store", "stats")
    answer = mpbuild("--store", "store", "store", "stats", before=shell(f'exec "$@" {closed}'))
    assert answer.code == 0
    assert answer.out == (usual.out if closed == "<&-" else "")
    assert answer.err == ""
    assert (tmp_path / "store/lock").read_bytes() == b""


LOCALES = {
    "none": {"LC_ALL": None},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "Latin-1": {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"},
    "ASCII": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "missing": {"LC_ALL": "xx_XX.UTF-8"},
}


@pytest.mark.parametrize("variables", LOCALES.values(), ids=LOCALES)
@pytest.mark.parametrize("name", ["//nöpe", "モデル", b"\xff\xfe"], ids=ascii)
def test_names_of_any_script_are_printed_in_any_locale(
    in_workspace, mpbuild, workspace, variables, name
):
    answer = in_workspace("build", name, variables=variables)
    assert answer.code == 2
    (finding,) = answer.findings
    if isinstance(name, str) and "PYTHONUTF8" not in variables:
        assert name in finding["message"]
    text = mpbuild("-C", workspace, "build", name, variables=variables)
    assert text.code == 2
    assert text.err.startswith("error[spec-invalid] ")


def test_json_is_utf8_in_any_locale(in_workspace, workspace):
    folder = workspace / "modèles"
    folder.mkdir()
    (folder / "model.toml").write_text("schema_version = 1\n")
    answer = in_workspace("build", variables=LOCALES["ASCII"])
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["where"] == "modèles/model.toml"
    assert finding["message"] == "no label can name this folder"


def test_without_home_the_store_can_still_be_named(mpbuild, tmp_path):
    answer = mpbuild(
        "--store", "store", "--format", "json", "store", "stats", variables={"HOME": None}
    )
    assert answer.code == 0
    assert answer.json["path"] == str(tmp_path / "store")


def test_an_unknown_home_folder_is_reported(mpbuild):
    answer = mpbuild("--store", "~no-such-user/x", "--format", "json", "store", "stats")
    assert answer.code == 2
    (finding,) = answer.findings
    assert "home folder" in finding["message"]
    assert "--store" in finding["hint"]


STORES = {
    "option": (("--store", "a/../here"), {}, "DIR/here"),
    "option before variable": (("--store", "here"), {"MPBUILD_STORE": "there"}, "DIR/here"),
    "variable": ((), {"MPBUILD_STORE": "there"}, "DIR/there"),
    "absolute": (("--store", "/tmp/mpbuild-none/../x"), {}, "/tmp/x"),
    "cache": ((), {"XDG_CACHE_HOME": "/tmp/y"}, "/tmp/y/mpbuild"),
    "home": ((), {"XDG_CACHE_HOME": None}, "HOME/.cache/mpbuild"),
}


@pytest.mark.parametrize(("options", "variables", "path"), STORES.values(), ids=STORES)
def test_the_store_is_where_it_was_named(tmp_path, environment, options, variables, path):
    """Looked up, not made: some of these are nobody's to make."""
    from mpbuild.app.workspace.targets import store_path

    folder = tmp_path / "DIR"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", environment["HOME"])
        for name in ("MPBUILD_STORE", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value) if value else patch.delenv(name, raising=False)
        found = store_path(options[1] if options else None, folder)
    wanted = path.replace("DIR", str(folder)).replace("HOME", environment["HOME"])
    assert str(found) == wanted


def test_paths_are_relative_to_the_folder_that_was_named(mpbuild, workspace, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ("-C", os.path.relpath(workspace / "examples", elsewhere), "--format", "json")
    checked = mpbuild(*options, "lock", "--check", "digits", cwd=elsewhere)
    assert checked.code == 0, checked.err
    named = mpbuild(*options, "--store", "here", "store", "stats", cwd=elsewhere)
    assert named.json["path"] == str(workspace / "examples/here")
    result = mpbuild(*options, "run", "digits", "--input", "no.json", cwd=elsewhere)
    assert result.findings[0]["where"] == "no.json"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("folder", ["missing", "model.toml"])
def test_a_missing_folder_is_reported(in_workspace, workspace, folder):
    answer = in_workspace("-C", workspace / "examples/digits" / folder, "build")
    assert answer.code == 2
    assert answer.findings[0]["message"] == "no such folder"


def test_a_workspace_behind_a_link_and_in_a_folder_with_an_odd_name(mpbuild, workspace, tmp_path):
    odd = tmp_path / "a b\tc'd\"e$f;g"
    shutil.copytree(workspace, odd)
    (tmp_path / "link").symlink_to(odd)
    for folder in (odd, tmp_path / "link"):
        answer = mpbuild("-C", folder, "--format", "json", "lock", "--check")
        assert answer.code == 0, answer.out


@pytest.fixture
def powerless(tmp_path):
    """What starts a command so that file modes hold for it, also where the tests run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("file modes don't hold for root, and there is no setpriv")
    # It stays root, which may execute all that is needed here, without what exempts root.
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]
    closed = tmp_path / "closed"
    closed.touch(mode=0)
    if subprocess.run([*command, "test", "-r", closed], check=False).returncode == 0:
        pytest.skip("file modes don't hold for root here")
    return command


@pytest.mark.parametrize("name", ["mpbuild.toml", "examples/digits/model.toml"])
def test_a_file_that_may_not_be_read_is_named(in_workspace, workspace, powerless, name):
    (workspace / name).chmod(0)
    answer = in_workspace("lock", "--check", before=powerless)
    assert answer.code == 2
    (finding,) = answer.findings
    assert (finding["where"], finding["message"]) == (name, "can't be read: Permission denied")


def test_a_lock_that_may_not_be_read_is_named(in_workspace, workspace, powerless):
    name = "lockfiles/examples/digits/pylock.cpu.toml"
    (workspace / name).chmod(0)
    answer = in_workspace("lock", "--check", before=powerless)
    assert answer.code == 2
    (finding,) = answer.findings
    assert (finding["code"], finding["where"]) == ("lock-malformed", name)
    assert finding["message"] == "can't be read: Permission denied"


def test_a_workspace_that_may_not_be_written_is_no_hindrance(in_workspace, workspace, powerless):
    for folder in (workspace, *(path for path in workspace.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    try:
        assert in_workspace("lock", "--check", before=powerless).code == 0
        answer = in_workspace("build", "--offline", before=powerless)
        assert {finding["code"] for finding in answer.findings} == {"fetch-failed"}
    finally:
        for folder in (workspace, *(path for path in workspace.rglob("*") if path.is_dir())):
            folder.chmod(0o755)


def test_a_read_only_store_is_reported(in_workspace, tmp_path, powerless):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    answer = in_workspace("--store", shut / "store", "build", "--offline", before=powerless)
    assert answer.code == 3
    (finding,) = answer.findings
    assert (finding["code"], finding["message"]) == ("store-unusable", "Permission denied")


def test_a_store_that_is_a_file_is_reported(in_workspace, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    answer = in_workspace("--store", file, "build", "--offline")
    assert answer.code == 3
    assert answer.findings[0]["code"] == "store-unusable"


def test_a_pipe_takes_a_whole_result(mpbuild):
    """More than a pipe holds, to a reader that is slow."""
    answer = mpbuild("schema", before=shell('set -o pipefail; "$@" | (sleep 0.2; cat)'))
    assert answer.code == 0
    assert json.loads(answer.out)
