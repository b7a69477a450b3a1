"""Container engines take the layout as it is, keep its digests and predict the same."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox, pytest.mark.engine]
TAG = "1.4.0"
MERGED = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
}


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def blobs(layout):
    return sorted(path.name for path in (layout / "blobs/sha256").iterdir())


def test_podman_predicts_what_mpbuild_predicts(digits, podman):
    request = digits.request.read_bytes()
    ours = digits.mpbuild("run", digits.layout, stdin=request)
    assert ours.code == 0, ours.err
    theirs = podman("run", "--rm", "--interactive", f"oci:{digits.layout}:{TAG}", input=request)
    assert json.loads(theirs) == ours.json
    (output,) = ours.json["outputs"]
    assert (output["name"], output["shape"]) == ("probabilities", [3, 10])


def test_skopeo_copies_the_layout_and_keeps_every_digest(digits, tmp_path):
    need("skopeo")
    source, target = f"oci:{digits.layout}:{TAG}", tmp_path / "copy"
    policy = ("--insecure-policy",)
    assert json.loads(run("skopeo", *policy, "inspect", "--raw", source))["manifests"]
    run("skopeo", *policy, "copy", "--all", "--preserve-digests", source, f"oci:{target}:{TAG}")
    (entry,) = json.loads((target / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == digits.digest
    assert blobs(target) == digits.blobs
    for name in blobs(target):
        copy = (target / "blobs/sha256" / name).read_bytes()
        assert copy == (digits.layout / "blobs/sha256" / name).read_bytes()


def test_skopeo_reads_the_image_for_this_platform(digits):
    need("skopeo")
    source = f"oci:{digits.layout}:{TAG}"
    about = json.loads(run("skopeo", "--insecure-policy", "inspect", source))
    assert (about["Os"], about["Architecture"]) == ("linux", "amd64")
    assert about["Layers"] == list(digits.layers(digits.digest).values())


def test_umoci_unpacks_a_merged_usr_and_the_whole_environment(digits, tmp_path):
    need("umoci")
    archive, layout, bundle = (tmp_path / name for name in ("digits.tar", "layout", "bundle"))
    # One tag, one image: which one of an index is meant, umoci can't be told.
    assert digits.mpbuild("export", digits.layout, "--image", archive).code == 0
    layout.mkdir()
    run("tar", "--extract", "--file", archive, "--directory", layout)
    rootless = ("--rootless",) if os.geteuid() else ()
    run("umoci", "unpack", *rootless, "--image", f"{layout}:{TAG}-cpu", bundle)
    root = bundle / "rootfs"
    assert {name: str((root / name).readlink()) for name in MERGED} == MERGED
    assert (root / "usr/bin/python3.11").is_file()
    assert not (root / "usr/bin/python3.11").is_symlink()
    assert (root / "opt/venv/lib/python3.11/site-packages/numpy/__init__.py").is_file()
    settings = json.loads((bundle / "config.json").read_bytes())
    entry_point = Path(settings["process"]["args"][0])
    assert os.access(root / entry_point.relative_to("/"), os.X_OK)
