"""crane (go-containerregistry) pushes a layout of ours under its own digest and finds it valid."""

import subprocess

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_layout_keeps_its_digest_and_is_valid_in_a_registry(crane, crane_registry, package):
    name = f"{crane_registry}/digits:pushed"
    run(crane, "push", package.layout, name)
    assert run(crane, "digest", name) == package.digest
    pinned = f"{crane_registry}/digits@{package.digest}"
    assert run(crane, "validate", "--remote", pinned).startswith("PASS")
