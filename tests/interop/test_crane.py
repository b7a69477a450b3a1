"""crane (go-containerregistry) pushes a layout of ours under its own digest and finds it valid."""

import re
import shutil
import subprocess
import time

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox]


@pytest.fixture(scope="module")
def crane():
    found = shutil.which("crane")
    if found is None:
        pytest.skip("crane is not on PATH; `make interop` builds it")
    return found


@pytest.fixture(scope="module")
def registry(crane, tmp_path_factory):
    """The address of crane's registry in memory."""
    log = tmp_path_factory.mktemp("registry") / "log"
    with log.open("wb") as file:
        command = [crane, "registry", "serve", "--address", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=file, stderr=file)
    with server:
        try:
            yield f"127.0.0.1:{port(server, log)}"
        finally:
            server.kill()


def port(server, log):
    """The port that the registry says it serves on."""
    for _ in range(200):
        if said := re.search(r"serving on port (\d+)", log.read_text()):
            return int(said[1])
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no registry after 10 s: {log.read_text()}")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_layout_keeps_its_digest_and_is_valid_in_a_registry(crane, registry, package):
    name = f"{registry}/digits:pushed"
    run(crane, "push", package.layout, name)
    assert run(crane, "digest", name) == package.digest
    pinned = f"{registry}/digits@{package.digest}"
    assert run(crane, "validate", "--remote", pinned).startswith("PASS")
