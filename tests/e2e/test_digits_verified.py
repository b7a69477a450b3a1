"""The example signed and verified: by its checkout, by another one, and without building."""

import shutil

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
TARGET = "//examples/digits"


@pytest.fixture
def copied(digits, tmp_path):
    """A copy of the workspace, and mpbuild in it with the shared store."""
    workspace = tmp_path / "workspace"
    for name in ("mpbuild.toml", "examples/digits", "lockfiles/examples/digits"):
        source, target = digits.mpbuild.workspace / name, workspace / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return digits.mpbuild._replace(workspace=workspace)


@pytest.fixture
def signed(digits, copied, tmp_path):
    """The layout of a signed package, and the public key."""
    key, layout = tmp_path / "key", tmp_path / "layout"
    mpbuild = copied.within(MPBUILD_KEY_PASSPHRASE="")
    assert mpbuild("keygen", key).code == 0
    built = mpbuild.build("--sign", "--key", f"{key}.key", "--output", layout)
    assert built.digest == digits.digest
    (statement,) = built.target["statements"]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    return layout, f"{key}.pub"


def test_a_package_passes_against_the_checkout_it_was_built_from(copied, signed):
    layout, key = signed
    answer = copied("verify", layout, "--key", key, "--source", copied.workspace, "--offline")
    assert answer.code == 0, answer.err
    assert answer.json["verdict"] == "PASSED"
    (used,) = (evidence for evidence in answer.json["evidence"] if evidence["used"])
    assert used["hermetic"] is True
    assert {leaf["kind"] for leaf in answer.json["leaves"]} >= {"source", "lock", "spec", "step"}
    assert all(leaf["vouched_by"] == [used["signer"]] for leaf in answer.json["leaves"])


def test_a_checkout_whose_training_script_is_another_is_reported(copied, signed):
    layout, key = signed
    script = copied.workspace / "examples/digits/train.py"
    script.write_text(script.read_text() + "# changed\n")
    answer = copied("verify", layout, "--key", key, "--source", copied.workspace, "--offline")
    assert answer.code == 1
    assert answer.json["verdict"] == "FAILED"
    faults = [finding for finding in answer.json["findings"] if finding["severity"] == "error"]
    assert [fault["code"] for fault in faults] == ["dependencies-incomplete"]
    assert faults[0]["where"].endswith("examples/digits/train.py")


def test_verifying_a_target_never_builds_it(copied, signed):
    _, key = signed
    script = copied.workspace / "examples/digits/train.py"
    script.write_text("raise SystemExit('the step ran')\n")
    answer = copied("verify", TARGET, "--key", key, "--offline")
    assert answer.code == 2
    ((_, message),) = answer.findings
    assert "has no build of the current workspace" in message
