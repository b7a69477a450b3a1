"""Through a registry and back into a layout, by other people's tools: every digest stays.

What those tools can't do stands here too, so that a version that can is noticed.
"""

import hashlib
import json
import subprocess

import pytest

pytestmark = pytest.mark.interop
TAG = "1.0.0"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def entries(folder):
    return json.loads((folder / "index.json").read_bytes())["manifests"]


def blobs(folder):
    """The blobs of a layout, each one good."""
    found = {f"sha256:{path.name}": path for path in (folder / "blobs/sha256").iterdir()}
    for digest, path in found.items():
        assert digest[7:] == hashlib.sha256(path.read_bytes()).hexdigest()
    return found.keys()


@pytest.fixture
def copy_by_skopeo(skopeo):
    """``copy_by_skopeo(source, target)``, any number of images under a tag."""

    def copy(source, target, *options):
        insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
        run(skopeo, "--insecure-policy", "copy", "--all", *options, *insecure, source, target)

    return copy


@pytest.fixture
def copy_by_oras(oras):
    """``copy_by_oras(source, target)`` with what is attached; ``where:what``, where is a layout."""

    def copy(source, target):
        places = [
            "--from-oci-layout" if source.startswith("/") else "--from-plain-http",
            "--to-oci-layout" if target.startswith("/") else "--to-plain-http",
        ]
        run(oras, "copy", "--recursive", "--no-tty", *places, source, target)

    return copy


def test_skopeo_keeps_every_digest(copy_by_skopeo, registry, made_up, tmp_path):
    there, back = f"docker://{registry}/skopeo:{TAG}", tmp_path / "back"
    copy_by_skopeo(f"oci:{made_up.folder}:{TAG}", there, "--preserve-digests")
    copy_by_skopeo(there, f"oci:{back}:{TAG}", "--preserve-digests")
    assert [entry["digest"] for entry in entries(back)] == [made_up.digest]
    assert blobs(back) == made_up.blobs


def test_crane_keeps_every_digest(crane, registry, made_up, tmp_path):
    there, other, back = f"{registry}/crane:{TAG}", f"{registry}/copied:{TAG}", tmp_path / "back"
    run(crane, "push", made_up.folder, there)
    run(crane, "copy", there, other)
    assert run(crane, "digest", other) == made_up.digest
    run(crane, "validate", "--remote", other)
    run(crane, "pull", "--format=oci", other, back)
    assert [entry["digest"] for entry in entries(back)] == [made_up.digest]
    assert blobs(back) == made_up.blobs


def test_oras_keeps_every_digest_and_brings_what_is_attached(
    copy_by_oras, oras, registry, attached, tmp_path
):
    there, back = f"{registry}/oras:{TAG}", tmp_path / "back"
    copy_by_oras(f"{attached.folder}:{TAG}", there)
    copy_by_oras(there, f"{back}:{TAG}")
    assert entries(back)[0]["digest"] == attached.digest
    assert blobs(back) == attached.blobs
    discovered = run(oras, "discover", "--oci-layout", "--format=json", f"{back}:{TAG}")
    found = {entry["digest"] for entry in json.loads(discovered)["referrers"]}
    assert found == set(attached.referrers[:2])


def test_oras_copies_into_the_layout_that_it_came_from(copy_by_oras, attached, tmp_path):
    """No registry between: an entry of ``index.json`` that oras adds is one more name, no more."""
    copy_by_oras(f"{attached.folder}:{TAG}", f"{tmp_path}/copy:{TAG}")
    assert blobs(tmp_path / "copy") == attached.blobs


def test_crane_pushes_what_is_attached_with_the_whole_layout(crane, oras, registry, attached):
    """It pushes one entry of a layout or all; then the package wants its tag."""
    refused = subprocess.run(
        [crane, "push", attached.folder, f"{registry}/whole:{TAG}"],
        capture_output=True,
        check=False,
    )
    assert b"layout contains 3 entries, consider --index" in refused.stderr
    run(crane, "push", "--index", attached.folder, f"{registry}/whole:everything")
    run(crane, "tag", f"{registry}/whole@{attached.digest}", TAG)
    discovered = run(oras, "discover", "--plain-http", "--format=json", f"{registry}/whole:{TAG}")
    document = json.loads(discovered)
    assert document["reference"].endswith(attached.digest)
    found = {entry["digest"] for entry in document["referrers"]}
    assert found == set(attached.referrers[:2])


def test_skopeo_brings_what_is_attached_tag_by_tag(copy_by_skopeo, registry, attached, tmp_path):
    """A listing loses its ``artifactType`` and so its digest; what it lists keeps both."""
    names = [
        entry["annotations"]["org.opencontainers.image.ref.name"]
        for entry in entries(attached.folder)
    ]
    package, *listings = names
    source, back = f"oci:{attached.folder}", tmp_path / "back"
    copy_by_skopeo(f"{source}:{package}", f"docker://{registry}/s:{package}", "--preserve-digests")
    for name in listings:
        copy_by_skopeo(f"{source}:{name}", f"docker://{registry}/s:{name}")
    for name in names:
        copy_by_skopeo(f"docker://{registry}/s:{name}", f"oci:{back}:{name}")
    assert entries(back)[0]["digest"] == attached.digest
    assert attached.blobs <= blobs(back)
    assert len(attached.blobs) + len(listings) == len(blobs(back))


@pytest.mark.engine
def test_podman_picks_the_cpu_image_by_itself(copy_by_skopeo, podman, registry, made_up):
    """Three images for one platform, and artifacts for none: the first image is meant."""
    name, insecure = f"{registry}/engine", "--tls-verify=false"
    source = f"oci:{made_up.folder}:{TAG}"
    copy_by_skopeo(source, f"docker://{name}:{TAG}", "--preserve-digests")
    podman("pull", "--quiet", insecure, f"{name}:{TAG}")
    for reference in (source, f"{name}:{TAG}", f"{name}@{made_up.digest}"):
        assert podman("run", "--rm", insecure, reference) == b"cpu\n"
    cuda = f"{name}@{made_up.children[1].digest}"
    assert podman("run", "--rm", insecure, cuda) == b"cuda\n"
