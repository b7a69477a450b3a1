"""Every byte of a layout answers for the verdict: blobs, index.json, index and manifests."""

import json
import os
import shutil

import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.package import image_contents
from mpbuild.package.in_layout import in_layout
from mpbuild.package.package import Package

SPEC = "opt/model/spec.json"
CODE = "opt/model/src/tiny/model.py"
CHANGED = {"content-mismatch", "content-missing"}


def test_a_flipped_byte_in_any_blob_of_the_layout_fails(signed):
    for path in signed.blobs:
        good = path.read_bytes()
        for place in {0, len(good) // 2, len(good) - 1}:
            data = bytearray(good)
            data[place] ^= 1
            path.write_bytes(data)
            assert signed.verify().failed_with("content-mismatch"), (path, place)
        path.write_bytes(good)
    assert signed.verify().passed


def test_a_blob_cut_short_or_with_a_byte_more_fails(signed):
    for path in signed.blobs:
        good = path.read_bytes()
        for data in (good[:-1], good + b"\n", b""):
            path.write_bytes(data)
            assert signed.verify().failed_with("content-mismatch"), path
        path.write_bytes(good)


def test_a_deleted_blob_is_missing_whichever_it_is(signed):
    for path in signed.blobs:
        good = path.read_bytes()
        path.unlink()
        assert signed.verify().failed_with("content-missing"), path
        path.write_bytes(good)


def test_another_digest_or_size_in_the_index_of_the_layout_fails(signed):
    path = signed.folder / "index.json"
    good = path.read_bytes()
    for entry in range(len(json.loads(good)["manifests"])):
        for key, other in (
            ("digest", f"sha256:{'0' * 64}"),
            ("digest", signed.manifest()["layers"][0]["digest"]),
            ("size", 1),
            ("size", 1 << 50),
        ):
            top = json.loads(good)
            top["manifests"][entry][key] = other
            path.write_bytes(canonical.encode(top))
            answer = signed.verify()
            assert answer.code == 1
            assert answer.errors & CHANGED, (entry, key)


def test_a_layout_without_a_package_or_an_index_is_missing_content(signed):
    (signed.folder / "index.json").write_bytes(
        canonical.encode({"schemaVersion": 2, "manifests": []})
    )
    assert signed.verify().failed_with("content-missing")
    (signed.folder / "index.json").unlink()
    assert signed.verify().failed_with("content-missing")


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'{"manifests": "x"}', b"\xff", b"[" * 9999])
def test_an_index_json_of_something_else_is_a_verdict(signed, text):
    (signed.folder / "index.json").write_bytes(text)
    answer = signed.verify()
    assert answer.code == 1
    assert answer.errors & CHANGED


def test_a_layout_of_another_version_fails(signed):
    (signed.folder / "oci-layout").write_text('{"imageLayoutVersion":"9.0.0"}')
    assert signed.verify().failed_with("content-mismatch")


def test_a_file_among_the_blobs_that_is_none_is_extra(signed):
    (signed.folder / "blobs/sha256/payload.sh").write_text("#!/bin/sh\n")
    assert signed.verify().failed_with("content-extra")


def test_a_layout_without_blobs_is_missing_content(signed):
    shutil.rmtree(signed.folder / "blobs")
    assert signed.verify().failed_with("content-missing")


def test_a_pipe_in_place_of_a_blob_is_refused_and_not_waited_for(signed):
    for path in signed.blobs:
        good = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert signed.verify().failed_with("content-mismatch"), path
        path.unlink()
        path.write_bytes(good)
    (signed.folder / "index.json").unlink()
    os.mkfifo(signed.folder / "index.json")
    assert signed.verify().failed_with("content-mismatch")


def test_a_folder_in_place_of_a_blob_is_a_verdict(signed):
    path = signed.layout.blob(signed.digest)
    path.unlink()
    path.mkdir()
    assert signed.verify().failed_with("content-mismatch")


INDEXES = {
    "an annotation more": lambda index: index["annotations"].update(x="y"),
    "an annotation less": lambda index: index["annotations"].pop(
        "org.opencontainers.image.version"
    ),
    "another version": lambda index: index["annotations"].update(
        {"org.opencontainers.image.version": "9.9.9"}
    ),
    "partial": lambda index: index["annotations"].update({"dev.mpbuild.partial": "cpu"}),
    "no platform": lambda index: index["manifests"][0].pop("platform"),
    "another platform": lambda index: index["manifests"][0].update(
        platform={"architecture": "arm64", "os": "linux"}
    ),
    "another accelerator": lambda index: index["manifests"][0]["annotations"].update(
        {"dev.mpbuild.accelerator": "cuda"}
    ),
    "an unheard-of accelerator": lambda index: index["manifests"][0]["annotations"].update(
        {"dev.mpbuild.accelerator": "../../x"}
    ),
    "no accelerator": lambda index: index["manifests"][0]["annotations"].pop(
        "dev.mpbuild.accelerator"
    ),
    "no PEX": lambda index: index["manifests"].pop(1),
    "two PEX files": lambda index: index["manifests"].append(index["manifests"][1]),
    "no model": lambda index: index["manifests"].pop(2),
    "a PEX with a platform": lambda index: index["manifests"][1].update(
        platform={"architecture": "amd64", "os": "linux"}
    ),
    "a PEX for another accelerator": lambda index: index["manifests"][1]["annotations"].update(
        {"dev.mpbuild.accelerator": "cuda"}
    ),
    "another order": lambda index: index["manifests"].reverse(),
}


@pytest.mark.parametrize("what", INDEXES)
def test_a_changed_index_is_not_what_its_images_give(unsigned, what):
    index = unsigned.index
    INDEXES[what](index)
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


MISFITS = {
    "an artifact type": lambda index: index["manifests"][0].update(artifactType="x/y"),
    "addresses": lambda index: index["manifests"][0].update(urls=["https://evil.example/x"]),
    "data": lambda index: index["manifests"][0].update(data="e30="),
    "another media type": lambda index: index["manifests"][0].update(
        mediaType="application/vnd.oci.image.index.v1+json"
    ),
    "an index that calls itself a manifest": lambda index: index.update(
        mediaType="application/vnd.oci.image.manifest.v1+json"
    ),
    "another schema": lambda index: index.update(schemaVersion=1),
    "a subject": lambda index: index.update(subject=index["manifests"][0]),
    "a wrong size": lambda index: index["manifests"][0].update(size=5),
    "a negative size": lambda index: index["manifests"][0].update(size=-1),
    "a size of words": lambda index: index["manifests"][0].update(size="many"),
    "a digest of another kind": lambda index: index["manifests"][0].update(digest="md5:00"),
    "a digest that is none": lambda index: index["manifests"][0].update(digest=7),
    "no manifests": lambda index: index.pop("manifests"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_an_index_that_readers_may_understand_differently_is_refused(unsigned, what):
    """Row 90."""
    index = unsigned.index
    MISFITS[what](index)
    unsigned.set_index(index)
    assert unsigned.verify().failed_with("content-mismatch")


def test_an_index_without_images_is_nothing_that_can_pass(unsigned):
    """Row 68: exit 0 where nothing was checked."""
    index = unsigned.index
    index["manifests"] = []
    unsigned.set_index(index)
    unsigned.sign()
    for words in ((), ("--no-recompute",)):
        assert unsigned.verify(*words).failed_with("content-missing")


def test_an_image_that_is_listed_twice_is_found(unsigned):
    index = unsigned.index
    index["manifests"] *= 2
    unsigned.set_index(index)
    unsigned.sign()
    for words in ((), ("--no-recompute",)):
        answer = unsigned.verify(*words)
        assert answer.failed_with("derivation-mismatch")
        assert "2 images for 'cpu'" in answer.told("derivation-mismatch")


def test_a_second_image_of_other_layers_is_found(unsigned):
    index = unsigned.index
    stranger = json.loads(json.dumps(index["manifests"][0]))
    stranger["annotations"]["dev.mpbuild.accelerator"] = "rocm"
    manifest = unsigned.manifest()
    manifest["layers"] = manifest["layers"][:1]
    config = unsigned.config()
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:1]
    manifest["config"] |= unsigned.put(canonical.encode(config))
    stranger |= unsigned.put(canonical.encode(manifest))
    index["manifests"].append(stranger)
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_an_artifact_of_unknown_kind_among_the_images_is_refused(unsigned):
    index = unsigned.index
    config = {"mediaType": "application/vnd.oci.empty.v1+json", **unsigned.put(b"{}")}
    artifact = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x-evil",
        "config": config,
        "layers": [],
    }
    index["manifests"].append(
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            **unsigned.put(canonical.encode(artifact)),
        }
    )
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


@pytest.mark.parametrize("kind", ["pex", "model"])
def test_an_image_under_the_name_of_another_kind_is_refused(unsigned, kind):
    index = unsigned.index
    index["manifests"][0]["annotations"]["dev.mpbuild.kind"] = kind
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with("content-missing")


def test_a_layer_of_another_media_type_is_refused(unsigned):
    manifest = unsigned.manifest()
    for media_type in (
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ):
        manifest["layers"][2]["mediaType"] = media_type
        unsigned.set_manifest(manifest)
        assert unsigned.verify().failed_with("content-mismatch")


def test_fewer_diff_ids_than_layers_are_refused(unsigned):
    config = unsigned.config()
    config["rootfs"]["diff_ids"].pop()
    unsigned.set_config(config)
    unsigned.sign()
    assert unsigned.verify().failed_with("content-mismatch")


def test_a_diff_id_that_is_not_that_of_the_layer_is_found(unsigned):
    config = unsigned.config()
    for place in range(len(config["rootfs"]["diff_ids"])):
        changed = json.loads(json.dumps(config))
        changed["rootfs"]["diff_ids"][place] = f"sha256:{'0' * 64}"
        unsigned.set_config(changed)
        unsigned.sign()
        answer = unsigned.verify()
        assert answer.code == 1
        assert answer.errors & {"derivation-mismatch", "content-mismatch"}


def test_images_that_hold_different_leaves_disagree(signed):
    """Each could be what its own spec gives: the package would be two."""
    located = in_layout(str(signed.folder), signed.tiny.store)
    package = Package(located)
    (image,) = package.images()
    contents = image_contents.read_contents(image, located.blobs, signed.tiny.store)
    assert list(image_contents.disagreements([contents, contents])) == []
    for path in (SPEC, CODE, "opt/model/locks/pylock.cpu.toml"):
        found = msgspec.structs.replace(contents.files[path], digest=Digest.of(b"other"))
        other = msgspec.structs.replace(contents, files={**contents.files, path: found})
        (finding,) = image_contents.disagreements([contents, other])
        assert (finding.code, finding.where) == ("derivation-mismatch", f"/{path}")
    fewer = {path: found for path, found in contents.files.items() if path != CODE}
    (finding,) = image_contents.disagreements(
        [contents, msgspec.structs.replace(contents, files=fewer)]
    )
    assert finding.where == f"/{CODE}"
