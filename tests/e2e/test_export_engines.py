"""An exported image: engines load it under its name, digest and ID, and predict the same.

Interrupted, or on a full disk, an export leaves nothing under the name it was to have.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox]
NAME = "localhost/digits:1.4.0-cpu"
PATIENCE_S = 30
# An export to a disk of 16 MiB: what it answers, and what it leaves behind.
SMALL_DISK = """
mount -t tmpfs -o size=16m disk "$0" || exit 99
"$@" >"$0.json"
code=$?
ls -A "$0" >"$0.left"
exit $code
"""


class Archive(NamedTuple):
    """The cpu image as a file, its manifest's digest and its ID, the configuration's."""

    path: Path
    digest: str
    identifier: str


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def archive(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "digits.tar"
    answer = digits.mpbuild("export", digits.layout, "--accelerator", "cpu", "--image", path)
    assert answer.code == 0, answer.err
    assert answer.json["name"] == NAME
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile(f"blobs/sha256/{answer.json['digest'][7:]}"))
    return Archive(path, answer.json["digest"], manifest["config"]["digest"])


@pytest.fixture
def prediction(digits):
    """Request and response."""
    request = digits.request.read_bytes()
    answer = digits.mpbuild("run", digits.layout, stdin=request)
    assert answer.code == 0, answer.err
    return request, answer.json


@pytest.mark.engine
def test_podman_loads_it_and_predicts_what_mpbuild_predicts(archive, prediction, podman):
    request, response = prediction
    assert podman("load", "--quiet", "--input", archive.path).decode().split()[-1] == NAME
    (image,) = json.loads(podman("image", "inspect", NAME))
    assert (image["Digest"], f"sha256:{image['Id']}") == (archive.digest, archive.identifier)
    assert json.loads(podman("run", "--rm", "--interactive", NAME, input=request)) == response


@pytest.mark.engine
def test_skopeo_reads_it_as_both_things_that_it_is(archive):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    read = ("skopeo", "--insecure-policy", "inspect", "--raw")
    layout = run(*read, f"oci-archive:{archive.path}")
    assert f"sha256:{hashlib.sha256(layout).hexdigest()}" == archive.digest
    saved = json.loads(run(*read, f"docker-archive:{archive.path}"))
    assert saved["config"]["digest"] == archive.identifier


@pytest.fixture
def docker():
    """``docker(*words)``: what it prints, with a daemon of its own."""
    for tool in ("docker", "dockerd", "containerd"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, contextlib.ExitStack() as stack:
        host = f"--host=unix://{folder}/socket"
        places = [f"--{name}={folder}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        log = stack.enter_context(Path(folder, "log").open("w"))
        command = ["dockerd", host, *places, *network]
        daemon = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        stack.callback(daemon.terminate)
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(["docker", host, "info"], capture_output=True, check=False).returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not start: {Path(folder, 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield lambda *words, **options: run("docker", host, *words, **options)


@pytest.mark.engine
@pytest.mark.root("dockerd runs as root")
def test_docker_loads_it_and_predicts_what_mpbuild_predicts(archive, prediction, docker):
    request, response = prediction
    assert docker("load", "--quiet", "--input", archive.path).decode().split()[-1] == NAME
    (image,) = json.loads(docker("image", "inspect", NAME))
    assert image["Id"] == archive.identifier
    words = ("run", "--rm", "--interactive", "--network=none", NAME)
    assert json.loads(docker(*words, input=request)) == response


def test_a_killed_export_leaves_nothing_under_its_name(digits, archive, tmp_path):
    words = ("export", digits.digest, "--image", tmp_path / "digits.tar")
    process = digits.mpbuild.start(*words)
    deadline = time.monotonic() + PATIENCE_S
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "digits.tar").exists()
    answer = digits.mpbuild(*words)
    assert answer.code == 0, answer.err
    assert (tmp_path / "digits.tar").read_bytes() == archive.path.read_bytes()


def test_an_export_to_a_full_disk_says_so_and_leaves_nothing(digits, archive, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    words = digits.mpbuild.words("export", digits.layout, "--image", disk / "digits.tar")
    command = [*own, "sh", "-c", SMALL_DISK, disk, *words]
    environment = dict(digits.mpbuild.environment)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 2, 3):
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    assert done.returncode == 3
    (finding,) = json.loads((tmp_path / "disk.json").read_bytes())["findings"]
    assert (finding["code"], finding["where"]) == ("disk-full", str(disk / "digits.tar"))
    assert (tmp_path / "disk.left").read_text() == ""
