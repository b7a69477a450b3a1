"""What a build refuses, or does and says so: no network, no sandbox, a library that is missing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.label import Label
from mpbuild.formats.debian import deblock

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
STEP = "step:train"
TOOLCHAIN = "toolchain/pylock.toolchain"


def actions(record):
    return json.loads(Path(record).read_bytes())["actions"]


def test_offline_and_with_an_empty_store_every_missing_file_is_named(digits, tmp_path):
    answer = digits.mpbuild._replace(store=tmp_path / "store").build()
    assert answer.code == 3
    assert {code for code, _ in answer.findings} == {"fetch-failed"}
    names = {message.partition(" ")[0] for _, message in answer.findings}
    assert {name.rpartition(".")[2] for name in names} == {"whl", "deb"}
    locks = digits.mpbuild.workspace / "lockfiles"
    wheels = {
        name
        for lock in ("examples/digits/pylock.cpu", "examples/digits/pylock.train", TOOLCHAIN)
        for name in re.findall(r'\{ name = "([^"]+\.whl)"', (locks / f"{lock}.toml").read_text())
    }
    assert {name for name in names if name.endswith(".whl")} == wheels
    hints = {finding["hint"] for finding in answer.json["findings"]}
    assert hints == {"run `mpbuild fetch` with access to the network"}


def test_without_a_sandbox_the_result_says_so_and_is_not_used_with_one(digits, quick):
    probe = ["python3.11", "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"]
    if not shutil.which("python3.11") or subprocess.run(probe, check=False).returncode:
        pytest.skip("no python3.11 on PATH to run the step with")
    script = quick / "examples/digits/train.py"
    script.write_text(f"{script.read_text()}# as no other test runs it\n")
    mpbuild = digits.mpbuild._replace(workspace=quick)
    bare = mpbuild.build("--sandbox", "none")
    assert STEP in bare.ran
    assert bare.target["hermetic"] is False
    assert {a["name"] for a in actions(bare.target["record"]) if not a["sandboxed"]} == {STEP}

    again = mpbuild.build("--sandbox", "none")
    assert again.target["actions"]["run"] == 0
    assert again.target["hermetic"] is False

    sealed = mpbuild.build()
    assert sealed.ran == {STEP}
    assert sealed.target["hermetic"] is True
    assert sealed.digest == bare.digest


def test_a_hermetic_result_answers_for_a_build_without_a_sandbox(digits):
    answer = digits.mpbuild.build("--sandbox", "none")
    assert answer.digest == digits.digest
    assert answer.target["actions"]["run"] == 0
    assert answer.target["hermetic"] is True


def relock(workspace):
    """Make the Debian locks answer to their spec again, where only packages were taken away."""
    target = OpenWorkspace(workspace).target(Label("//examples/digits"))
    for environment in environments(target):
        lock = deblock.read(environment.debian_file.read_text(), file="lock")
        named = {*environment.debian.base, *environment.debian.system}
        left = [p for p in lock.packages if p.name != "libstdc++6" or p.name in named]
        changed = msgspec.structs.replace(
            lock, packages=tuple(left), resolution=environment.debian.digest
        )
        environment.debian_file.write_text(deblock.write(changed))


def test_a_library_that_nothing_in_the_image_supplies_is_named(digits, workspace):
    """NumPy needs libstdc++, which a bare interpreter lacks; the training has it, the image not."""
    settings = workspace / "mpbuild.toml"
    settings.write_text(settings.read_text().replace('"libstdc++6", ', ""))
    spec = workspace / "examples/digits/model.toml"
    needing = '[environments.train]\nsystem = ["libstdc++6"]'
    spec.write_text(spec.read_text().replace("[environments.train]", needing))
    relock(workspace)
    answer = digits.mpbuild._replace(workspace=workspace).build()
    assert answer.code == 2, answer.err
    assert {code for code, _ in answer.findings} == {"elf-unmet"}
    assert any("libstdc++.so.6" in message for _, message in answer.findings)
