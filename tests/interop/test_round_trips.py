"""Through a registry and back into a layout, by other people's tools: every digest stays.

What those tools can't do stands here too, so that a version that can is noticed.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpbuild.formats.oci import oci

pytestmark = pytest.mark.interop
BY_HAND = [("made_up", "docker_registry"), ("made_up", "crane_registry")]
REAL = ("example", "docker_registry")
ROUTES = [*BY_HAND, pytest.param(REAL, marks=[pytest.mark.network, pytest.mark.sandbox])]


@pytest.fixture(params=ROUTES, ids="-".join)
def route(request):
    """What is carried about, and the address of the registry on its way."""
    return tuple(request.getfixturevalue(name) for name in request.param)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def tag(entry):
    return entry.annotations[oci.REF_NAME]


def pointed_at(folder):
    """What ``index.json`` names, in its order."""
    return [
        entry["digest"] for entry in json.loads((folder / "index.json").read_bytes())["manifests"]
    ]


def blobs(folder):
    """The blobs of a layout, each one good."""
    found = {f"sha256:{path.name}": path for path in (folder / "blobs/sha256").iterdir()}
    for digest, path in found.items():
        with path.open("rb") as file:
            assert digest[7:] == hashlib.file_digest(file, "sha256").hexdigest()
    return found.keys()


def discovered(oras, place, name):
    """The digests of what oras finds attached to something."""
    found = json.loads(run(oras, "discover", place, "--format=json", name))
    return {entry["digest"] for entry in found["referrers"]}


@pytest.fixture
def copy_by_skopeo(skopeo):
    """``copy_by_skopeo(source, target)``: an index and all that it names."""

    def copy(source, target, *options):
        insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
        run(skopeo, "--insecure-policy", "copy", "--all", *options, *insecure, source, target)

    return copy


@pytest.fixture
def copy_by_oras(oras):
    """``copy_by_oras(source, target)`` with what is attached; an absolute path is a layout's."""

    def copy(source, target):
        places = [
            "--from-oci-layout" if source.startswith("/") else "--from-plain-http",
            "--to-oci-layout" if target.startswith("/") else "--to-plain-http",
        ]
        run(oras, "copy", "--recursive", "--no-tty", *places, source, target)

    return copy


def test_skopeo_keeps_every_digest(copy_by_skopeo, route, tmp_path):
    carried, registry = route
    source = f"oci:{carried.folder}:{tag(carried.package)}"
    there, back = f"docker://{registry}/skopeo:it", tmp_path / "back"
    copy_by_skopeo(source, there, "--preserve-digests")
    copy_by_skopeo(there, f"oci:{back}:it", "--preserve-digests")
    assert pointed_at(back) == [carried.digest]
    assert blobs(back) == carried.blobs


@pytest.mark.parametrize("route", BY_HAND, ids="-".join, indirect=True)
def test_skopeo_brings_what_is_attached_tag_by_tag(copy_by_skopeo, route, tmp_path):
    """A listing loses its ``artifactType`` and so its digest; what it lists keeps both."""
    carried, registry = route
    names = [tag(carried.package), *map(tag, carried.listings)]
    there, back = f"docker://{registry}/by-tag", tmp_path / "back"
    for name in names:
        copy_by_skopeo(f"oci:{carried.folder}:{name}", f"{there}:{name}")
        copy_by_skopeo(f"{there}:{name}", f"oci:{back}:{name}")
    assert pointed_at(back)[0] == carried.digest
    assert carried.all_blobs <= blobs(back)
    assert len(blobs(back)) == len(carried.all_blobs) + len(carried.listings)


def test_crane_keeps_every_digest(crane, route, tmp_path):
    """It pushes one entry of a layout, or all of them, which then want their tags.

    It lists referrers itself while it pushes, and may lose one that comes at the same moment:
    the listings of the layout know them all.
    """
    carried, registry = route
    name, copied, back = f"{registry}/crane", f"{registry}/copied:it", tmp_path / "back"
    one = subprocess.run(
        [crane, "push", carried.folder, f"{name}:it"], capture_output=True, check=False
    )
    assert b"entries, consider --index" in one.stderr
    run(crane, "push", "--index", carried.folder, f"{name}:everything")
    for entry in (carried.package, *carried.listings):
        run(crane, "tag", f"{name}@{entry.digest}", tag(entry))
    run(crane, "copy", f"{name}:{tag(carried.package)}", copied)
    assert run(crane, "digest", copied) == carried.digest
    assert run(crane, "validate", "--remote", copied).startswith("PASS")
    run(crane, "pull", "--format=oci", copied, back)
    assert pointed_at(back) == [carried.digest]
    assert blobs(back) == carried.blobs


@pytest.mark.parametrize("route", BY_HAND, ids="-".join, indirect=True)
def test_oras_finds_what_crane_pushed_with_the_whole_layout(crane, oras, route):
    carried, registry = route
    name = f"{registry}/whole"
    run(crane, "push", "--index", carried.folder, f"{name}:everything")
    for listing in carried.listings:
        run(crane, "tag", f"{name}@{listing.digest}", tag(listing))
    assert discovered(oras, "--plain-http", f"{name}@{carried.digest}") == carried.attached


def test_oras_keeps_every_digest_and_brings_what_is_attached(copy_by_oras, oras, route, tmp_path):
    carried, registry = route
    there, back = f"{registry}/oras:it", tmp_path / "back"
    copy_by_oras(f"{carried.folder}:{tag(carried.package)}", there)
    copy_by_oras(there, f"{back}:it")
    assert pointed_at(back)[0] == carried.digest
    assert blobs(back) == carried.all_blobs
    assert discovered(oras, "--oci-layout", f"{back}:it") == carried.attached


@pytest.mark.network
@pytest.mark.sandbox
def test_a_signed_package_that_oras_carried_is_verified(
    copy_by_oras, docker_registry, example, package, tmp_path
):
    """In its layout the referrers are entries of ``index.json``, under no tag."""
    there, back = f"{docker_registry}/signed:it", tmp_path / "back"
    copy_by_oras(f"{example.folder}:{tag(example.package)}", there)
    copy_by_oras(there, f"{back}:it")
    mpbuild = (Path(sys.executable).with_name("mpbuild"), "--store", tmp_path / "store")
    verdict = run(*mpbuild, "verify", back, "--key", package.public_key, "--offline")
    assert verdict.startswith(f"PASSED  {package.digest}")


@pytest.mark.engine
@pytest.mark.parametrize("where", ["docker_registry", "crane_registry"])
def test_podman_picks_the_cpu_image_by_itself(copy_by_skopeo, podman, made_up, where, request):
    """Three images for one platform, and artifacts for none: the first image is meant."""
    name, insecure = f"{request.getfixturevalue(where)}/engine", "--tls-verify=false"
    source = f"oci:{made_up.folder}:{tag(made_up.package)}"
    copy_by_skopeo(source, f"docker://{name}:it", "--preserve-digests")
    podman("pull", "--quiet", insecure, f"{name}:it")
    for reference in (source, f"{name}:it", f"{name}@{made_up.digest}"):
        assert podman("run", "--rm", insecure, reference) == b"cpu\n"
    cuda = f"{name}@{made_up.children[1].digest}"
    assert podman("run", "--rm", insecure, cuda) == b"cuda\n"
