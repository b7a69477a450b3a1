"""Verifying a package in a layout: every byte of it, and nothing else, answers for the verdict."""

import gzip
import json
import os
import shutil
import sys
import time

import msgspec
import pytest

from mpbuild.app import leaves
from mpbuild.app.reference import Package, in_layout
from mpbuild.base import canonical
from mpbuild.base.coding import plain
from mpbuild.base.digest import Digest
from mpbuild.effects.store import Store
from mpbuild.engine.action import Action, Output, Result

SPEC = "opt/model/spec.json"
LOCK = "opt/model/locks/pylock.cpu.toml"
CODE = "opt/model/src/tiny/model.py"
CHANGED = {"content-mismatch", "content-missing"}


def blobs(attack):
    return sorted((attack.folder / "blobs/sha256").iterdir())


def packed(attack, files, **options):
    """A layer of ``files``, made by other hands."""
    return gzip.compress(attack.tar(files, **options), mtime=0)


def watched_tree(folder):
    return {
        path.relative_to(folder): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
    }


# ---- the good package


def test_a_signed_package_passes_and_the_verdict_says_on_what_it_rests(signed):
    answer = signed.verify()
    assert answer.passed
    assert answer.json["digest"] == signed.digest
    (evidence,) = answer.json["evidence"]
    assert evidence["used"]
    assert evidence["builder"] == "urn:mpbuild:builder:local"
    assert evidence["hermetic"] is True
    assert answer.json["findings"] == []


def test_every_leaf_is_listed_with_who_vouches_for_it(signed):
    answer = signed.verify()
    signer = answer.json["evidence"][0]["signer"]
    listed = {(leaf["kind"], leaf["name"]): leaf for leaf in answer.json["leaves"]}
    assert {leaf["vouched_by"][0] for leaf in listed.values()} == {signer}
    assert {kind for kind, _ in listed} == {"lock", "runtime", "source", "spec"}
    workspace = signed.tiny.workspace
    model = workspace / "models/tiny"
    for key, file in {
        ("source", "tiny/model.py"): model / "src/tiny/model.py",
        ("source", "weights/numbers.bin"): model / "weights/numbers.bin",
        ("lock", "pylock.cpu.toml"): workspace / "lockfiles/models/tiny/pylock.cpu.toml",
    }.items():
        assert listed[key]["digest"] == Digest.of(file.read_bytes())


def test_without_a_signature_no_leaf_is_vouched_for(unsigned):
    answer = unsigned.verify()
    assert answer.failed_with("signature-missing", "provenance-missing")
    assert {tuple(leaf["vouched_by"]) for leaf in answer.json["leaves"]} == {()}


def test_an_image_of_the_package_is_verified_through_its_index(signed):
    image = signed.index["manifests"][0]["digest"]
    answer = signed.verify(ref=f"@{image}")
    assert answer.passed
    assert answer.json["digest"] == signed.digest


def test_an_image_that_no_index_of_the_layout_contains_is_a_subject_mismatch(signed):
    config = signed.manifest()["config"]["digest"]
    for stranger in (config, f"sha256:{'0' * 64}"):
        assert signed.verify(ref=f"@{stranger}").failed_with("subject-mismatch")


def test_an_image_whose_index_is_not_attested_lacks_provenance(unsigned):
    """Row 81: what is attached to the image alone does not speak for the index."""
    image = unsigned.index["manifests"][0]["digest"]
    statement = unsigned.statement()
    statement["subject"] = statement["subject"][1:]
    unsigned.attach(unsigned.tiny.key.sign(canonical.encode(statement)), Digest(image))
    assert unsigned.verify(ref=f"@{image}").failed_with("provenance-missing")


def test_a_package_in_the_store_passes_by_its_digest_and_by_that_of_an_image(tiny, cli):
    assert cli("sign", tiny.digest, "--key", tiny.key.private).code == 0
    for ref in (tiny.digest, *tiny.record.images.values()):
        answer = cli("verify", ref, "--key", tiny.key.public, "--offline")
        assert answer.passed
        assert answer.json["digest"] == tiny.digest


def test_a_document_of_the_store_that_nothing_refers_to_is_a_subject_mismatch(tiny, cli):
    stranger = tiny.store.put_bytes(canonical.encode({"mediaType": "whatever"}))
    answer = cli("verify", stranger, "--key", tiny.key.public)
    assert answer.failed_with("subject-mismatch")


def test_a_reference_to_nothing_is_no_verdict_but_a_wrong_usage(signed, cli, tmp_path):
    key = signed.tiny.key.public
    assert cli("verify", tmp_path / "nothing", "--key", key).code == 2
    assert cli("verify", f"sha256:{'0' * 64}", "--key", key).code == 2
    assert signed.verify(ref="@sha256:abc").code == 2


def test_nothing_that_says_whom_to_trust_is_a_wrong_usage(signed, cli):
    answer = cli("verify", signed.folder)
    assert answer.code == 2
    assert "whom to trust" in answer.told("usage")


# ---- the layout itself


def test_a_flipped_byte_in_any_blob_of_the_layout_fails(signed):
    for path in blobs(signed):
        good = path.read_bytes()
        for place in {0, len(good) // 2, len(good) - 1}:
            data = bytearray(good)
            data[place] ^= 1
            path.write_bytes(data)
            assert signed.verify().failed_with("content-mismatch"), (path, place)
        path.write_bytes(good)
    assert signed.verify().passed


def test_a_blob_cut_short_or_with_a_byte_more_fails(signed):
    for path in blobs(signed):
        good = path.read_bytes()
        for data in (good[:-1], good + b"\n", b""):
            path.write_bytes(data)
            assert signed.verify().failed_with("content-mismatch"), path
        path.write_bytes(good)


def test_a_deleted_blob_is_missing_whichever_it_is(signed):
    for path in blobs(signed):
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
    for path in blobs(signed):
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


# ---- what is derived


CONFIGS = {
    "entry point": lambda config: config["config"].update(Entrypoint=["/bin/sh"]),
    "preloaded library": lambda config: config["config"]["Env"].append("LD_PRELOAD=/tmp/x.so"),
    "user": lambda config: config["config"].update(User="0:0"),
    "working folder": lambda config: config["config"].update(WorkingDir="/"),
    "unknown key of an engine": lambda config: config["config"].update(Cmd=["/bin/sh"]),
    "unknown key beside": lambda config: config.update({"x-run": ["/bin/sh"]}),
    "health check": lambda config: config["config"].update(Healthcheck={"Test": ["CMD", "x"]}),
    "platform": lambda config: config.update(architecture="arm64"),
    "time": lambda config: config.update(created="2030-01-01T00:00:00Z"),
    "history": lambda config: config["history"][0].update(created_by="somebody else"),
    "empty layer in the history": lambda config: config["history"].append(
        {"created": "1980-01-01T00:00:00Z", "created_by": "x", "empty_layer": True}
    ),
    "label": lambda config: config["config"]["Labels"].update(x="y"),
}


@pytest.mark.parametrize("key", ["the right key", "another key"])
@pytest.mark.parametrize("what", CONFIGS)
def test_a_changed_configuration_is_not_what_spec_and_locks_give(unsigned, what, key):
    """Row 83: layers untouched, everything hashed and signed again."""
    config = unsigned.config()
    CONFIGS[what](config)
    unsigned.set_config(config)
    other = key == "another key"
    unsigned.sign(unsigned.tiny.other if other else unsigned.tiny.key)
    answer = unsigned.verify()
    assert answer.failed_with("derivation-mismatch")
    assert ("signer-unknown" in answer.errors) == other


def test_a_configuration_in_another_form_of_json_is_not_what_is_derived(unsigned):
    unsigned.set_config(json.dumps(unsigned.config(), indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_manifest_or_index_in_another_form_of_json_is_not_what_is_derived(unsigned):
    unsigned.set_manifest(json.dumps(unsigned.manifest(), indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")
    unsigned.set_index(json.dumps(unsigned.index, indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_the_signatures_of_the_good_package_do_not_follow_a_changed_one(signed):
    """What was attached stays attached to the old index; nothing speaks for the new one."""
    config = signed.config()
    config["config"]["User"] = "0:0"
    signed.set_config(config)
    assert signed.verify().failed_with("derivation-mismatch", "signature-missing")


def test_the_statement_of_the_good_package_attached_to_a_changed_one_is_about_another(unsigned):
    bundle = unsigned.tiny.key.sign(canonical.encode(unsigned.statement()))
    config = unsigned.config()
    config["config"]["User"] = "0:0"
    unsigned.set_config(config)
    unsigned.attach(bundle)
    assert unsigned.verify().failed_with("derivation-mismatch", "subject-mismatch")


def test_a_reordered_layer_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    layers[1], layers[2] = layers[2], layers[1]
    diff_ids[1], diff_ids[2] = diff_ids[2], diff_ids[1]
    unsigned.set_layers(layers, diff_ids)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_removed_layer_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers(layers[:1] + layers[2:], diff_ids[:1] + diff_ids[2:])
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_layer_twice_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers([layers[0], *layers], [diff_ids[0], *diff_ids])
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_swapped_wheel_layer_is_found(unsigned):
    files = {"opt/venv/lib/python3.11/site-packages/numpy/__init__.py": b"import evil\n"}
    place, _ = unsigned.layer("numpy")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch", "content-extra")


def test_the_same_layer_compressed_otherwise_is_found(unsigned):
    place, plain_tar = unsigned.layer("code")
    unsigned.set_layer(place, gzip.compress(plain_tar, mtime=0))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_another_annotation_of_a_layer_is_found(unsigned):
    """Row 84: a layer whose annotation names another wheel."""
    manifest = unsigned.manifest()
    manifest["layers"][1]["annotations"]["dev.mpbuild.layer"] = "innocent 1.0"
    unsigned.set_manifest(manifest)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize(
    "files",
    [
        {"usr/bin/sh": b"evil"},
        {"srv/x": b"evil"},
        {"opt/model/src/evil.py": b"evil"},
        {"opt/model/unheard-of": b"evil"},
        {"opt/model/weights/unheard-of": b"evil"},
        {},
    ],
    ids=lambda files: next(iter(files), "empty"),
)
@pytest.mark.parametrize("place", [0, 2, None])
def test_an_extra_layer_is_extra_wherever_it_lies(unsigned, files, place):
    """Row 84."""
    unsigned.add_layer(packed(unsigned, files), place)
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


def test_an_extra_file_in_a_layer_of_leaves_is_extra(unsigned):
    """Row 77."""
    files = {**unsigned.files("spec and locks"), "opt/model/notes.txt": b"x"}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra", "derivation-mismatch")


def test_a_renamed_file_of_weights_is_missing_and_extra(unsigned):
    """Row 76."""
    (data,) = unsigned.files("weights").values()
    place, _ = unsigned.layer("weights")
    unsigned.set_layer(place, packed(unsigned, {"opt/model/weights/others": data}))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-missing", "content-extra")


def test_a_changed_file_in_a_code_layer_packed_by_other_hands_is_found(unsigned):
    unsigned.replace_file("code", CODE, b"import evil\n")
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch", "dependencies-incomplete")
    unsigned.sign(unsigned.tiny.other)
    assert unsigned.verify(key=unsigned.tiny.other.public).failed_with("derivation-mismatch")


def test_a_changed_file_packed_as_mpbuild_packs_is_one_that_nobody_vouches_for(rebuild):
    """The package is derived from its leaves, but the provenance names another file."""
    attack = rebuild(lambda root: (root / "models/tiny/src/tiny/model.py").write_text("evil\n"))
    attack.sign()
    answer = attack.verify()
    assert answer.failed_with("dependencies-incomplete")
    assert "derivation-mismatch" not in answer.errors
    strangers = [leaf["name"] for leaf in answer.json["leaves"] if not leaf["vouched_by"]]
    assert strangers == ["tiny/model.py"]


def test_an_added_source_packed_as_mpbuild_packs_is_one_that_nobody_vouches_for(rebuild):
    attack = rebuild(lambda root: (root / "models/tiny/src/tiny/more.py").write_text("evil\n"))
    attack.sign()
    assert attack.verify().failed_with("dependencies-incomplete")


def test_an_executable_bit_that_the_builder_did_not_set_is_found(unsigned):
    files = unsigned.files("code")
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, packed(unsigned, files, executable=(CODE,)))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize("code", ["layer-unsafe", "content-extra"])
def test_links_and_devices_among_the_leaves_are_refused(unsigned, code):
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), "opt/model/src/link": "/etc/passwd"}
    blob = packed(unsigned, files)
    if code == "layer-unsafe":
        blob = gzip.compress(gzip.decompress(blob).replace(b"0000644\0", b"0000644\0", 1), mtime=0)
        plain_tar = bytearray(gzip.decompress(blob))
        at = plain_tar.index(b"opt/model/src/link\0")
        plain_tar[at + 156] = ord("3")
        plain_tar[at + 148 : at + 156] = b" " * 8
        total = sum(plain_tar[at : at + 512])
        plain_tar[at + 148 : at + 156] = b"%06o\0 " % total
        blob = gzip.compress(bytes(plain_tar), mtime=0)
    unsigned.set_layer(place, blob)
    unsigned.sign()
    assert unsigned.verify().failed_with(code)


@pytest.mark.parametrize(
    "path",
    [
        "opt/model/src/.wh.model.py",
        "opt/model/src/.wh..wh..opq",
        "opt/model/src/../../../etc/passwd",
        "/opt/model/src/x.py",
    ],
)
def test_an_unsafe_path_in_a_layer_of_leaves_is_refused(unsigned, path):
    """Rows 75 and 87."""
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, packed(unsigned, {**unsigned.files("code"), path: b"x"}))
    unsigned.sign()
    assert unsigned.verify().failed_with("layer-unsafe")


def test_a_leaf_in_two_layers_is_refused(unsigned):
    unsigned.add_layer(packed(unsigned, {CODE: b"import evil\n"}))
    unsigned.sign()
    answer = unsigned.verify()
    assert answer.failed_with("content-extra")
    assert "stands there twice" in answer.told("content-extra")


def test_two_specs_are_refused(unsigned):
    unsigned.add_layer(packed(unsigned, {SPEC: unsigned.files("spec and locks")[SPEC]}))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


def test_a_leaf_behind_files_of_another_kind_is_part_of_no_derived_layer(unsigned):
    """Layers of wheels are not read for leaves: whoever hides one there changes the whole."""
    files = {"usr/share/x": b"x", "opt/model/src/tiny/evil.py": b"import evil\n"}
    unsigned.add_layer(packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra", "derivation-mismatch")


def test_a_layer_that_begins_with_leaves_may_hold_nothing_else(unsigned):
    files = {**unsigned.files("code"), "usr/lib/x.so": b"x"}
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


# ---- index and manifests


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
    "no accelerator": lambda index: index["manifests"][0].pop("annotations"),
    "another kind": lambda index: index["manifests"][0]["annotations"].update(
        {"dev.mpbuild.kind": "pex"}
    ),
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
    assert unsigned.verify().failed_with("content-mismatch")


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
    package = Package(located.place, located.digest)
    (image,) = package.images()
    contents = leaves.read_contents(image, located.place, signed.tiny.store)
    assert list(leaves.disagreements([contents, contents])) == []
    for path in (SPEC, CODE, "opt/model/locks/pylock.cpu.toml"):
        found = msgspec.structs.replace(contents.files[path], digest=Digest.of(b"other"))
        other = msgspec.structs.replace(contents, files={**contents.files, path: found})
        (finding,) = leaves.disagreements([contents, other])
        assert (finding.code, finding.where) == ("derivation-mismatch", f"/{path}")
    fewer = {path: found for path, found in contents.files.items() if path != CODE}
    (finding,) = leaves.disagreements([contents, msgspec.structs.replace(contents, files=fewer)])
    assert finding.where == f"/{CODE}"


# ---- spec and locks inside


def test_an_image_without_a_spec_is_none_of_ours(unsigned):
    files = {p: d for p, d in unsigned.files("spec and locks").items() if p != SPEC}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize(
    "spec",
    [
        b"[]",
        b"null",
        b"{}",
        b"{",
        b'{"schema_version": 2}',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe",
        b"1e999",
        b"[" * 100_000,
    ],
    ids=repr,
)
def test_a_spec_that_is_none_is_a_verdict(unsigned, spec):
    unsigned.replace_file("spec and locks", SPEC, spec)
    unsigned.sign()
    answer = unsigned.verify()
    assert answer.code == 1
    assert answer.errors & {"derivation-mismatch", "content-mismatch"}
    assert "spec-invalid" not in answer.errors


def test_an_accelerator_that_the_spec_does_not_have_is_found(unsigned):
    spec = json.loads(unsigned.files("spec and locks")[SPEC])
    spec["accelerators"] = {"rocm": {"dependencies": []}}
    unsigned.replace_file("spec and locks", SPEC, canonical.encode(spec))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_missing_lock_is_missing_content(unsigned):
    files = {p: d for p, d in unsigned.files("spec and locks").items() if p != LOCK}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-missing")


LOCKS = {
    "a path that leaves its folder": (b'path = "wheels/', b'path = "wheels/../../'),
    "an absolute path": (b'path = "wheels/', b'path = "/etc/'),
    "an address": (b'path = "wheels/', b'url = "https://evil.example/'),
    "no digest": (b"sha256 = ", b"md5 = "),
    "another environment": (b'environment = "cpu"', b'environment = "rocm"'),
    "another form": (b"\n\n[tool.mpbuild]", b"\n\n# changed\n[tool.mpbuild]"),
    "no UTF-8": (b"lock-version", b"\xff"),
    "a key without end": (b"[tool.mpbuild]", b"[tool." + b"a." * 200_000 + b"b]"),
    "no TOML": (b"lock-version", b"]["),
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_lock_that_mpbuild_would_not_write_is_malformed(unsigned, what):
    """Row 92 among others: exit 1, as it is the package that is wrong."""
    good = unsigned.files("spec and locks")[LOCK]
    old, new = LOCKS[what]
    assert old in good
    unsigned.replace_file("spec and locks", LOCK, good.replace(old, new, 1))
    unsigned.sign()
    started = time.monotonic()
    assert unsigned.verify().failed_with("lock-malformed")
    assert time.monotonic() - started < 5


def test_a_wheel_that_lies_is_unsafe_when_the_layer_is_derived(unsigned, lying_wheel):
    """Rows 86 and 87: the lock names it, the verifier has it, and no package can come of it."""
    good = unsigned.files("spec and locks")[LOCK].decode()
    numpy = Digest.from_hex(good.split('sha256 = "')[1][:64])
    kept = unsigned.tiny.store.put([lying_wheel])
    size = unsigned.tiny.store.blob(numpy).stat().st_size
    bad = good.replace(numpy.hex, kept.digest.hex).replace(
        f"size = {size}", f"size = {kept.size}", 1
    )
    unsigned.replace_file("spec and locks", LOCK, bad.encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("layer-unsafe")


# ---- inputs


@pytest.fixture
def fresh(tmp_path):
    """The path of a store that holds nothing."""
    return tmp_path / "fresh store"


def test_offline_an_input_that_is_not_here_is_missing_content(signed, cli, fresh):
    words = ("verify", signed.folder, "--key", signed.tiny.key.public, "--offline")
    answer = cli(*words, store=fresh)
    assert answer.failed_with("content-missing")
    told = answer.told("content-missing")
    for name in ("numpy-2.0-py3-none-any.whl", "python3.11-minimal_3.11.2-6_amd64.deb"):
        assert name in told
    assert "--offline" in told
    (evidence,) = answer.json["evidence"]
    assert evidence["used"], "the signature is good all the same"


def test_online_an_input_that_nobody_has_is_missing_content(
    signed, cli, fresh, monkeypatch, tmp_path
):
    """No mirror is asked for what is here already."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "index").as_uri())
    monkeypatch.setenv("MPBUILD_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    text = signed.files("spec and locks")["opt/model/locks/debian.cpu.toml"].decode()
    deb = signed.tiny.store.read(Digest.from_hex(text.split('sha256 = "')[1][:64]))
    Store(fresh).put_bytes(deb)
    answer = cli("verify", signed.folder, "--key", signed.tiny.key.public, store=fresh)
    assert answer.failed_with("content-missing")
    assert "numpy-2.0-py3-none-any.whl" in answer.told("content-missing")


def test_without_recomputing_inputs_are_not_needed_and_the_verdict_says_what_it_is_not(
    signed, cli, fresh
):
    """The index is the one that was signed; what is in it, nobody has looked at."""
    key = signed.tiny.key.public
    words = ("verify", signed.folder, "--key", key, "--offline", "--no-recompute")
    answer = cli(*words, store=fresh)
    assert answer.passed
    assert answer.json["leaves"] == []
    assert any("not recomputed" in remark for remark in answer.json["unchecked"])
    assert not any("not recomputed" in remark for remark in signed.verify().json["unchecked"])


def test_without_recomputing_a_changed_package_is_still_not_the_one_that_was_signed(signed):
    config = signed.config()
    config["config"]["User"] = "0:0"
    signed.set_config(config)
    assert signed.verify("--no-recompute").failed_with("signature-missing")


def test_an_input_of_the_store_with_other_bytes_is_not_derived_from(signed, cli, fresh):
    shutil.copytree(signed.tiny.store.path, fresh)
    lock = signed.files("spec and locks")[LOCK].decode()
    wheel = fresh / "blobs/sha256" / lock.split('sha256 = "')[1][:64]
    data = wheel.read_bytes()
    wheel.unlink()
    wheel.write_bytes(data[:-1] + b"\1")
    answer = cli("verify", signed.folder, "--key", signed.tiny.key.public, "--offline", store=fresh)
    assert answer.failed_with("content-mismatch")


# ---- a store that others write


def poisoned(attack, store):
    """Facts in ``store`` that would make the layers of ``attack`` the right ones."""
    layers, diff_ids = attack.rows()
    for path in (store.path / "derived").iterdir():
        action = msgspec.convert(
            json.loads(path.read_bytes()), Action, dec_hook=lambda kind, value: kind(value)
        )
        for layer, diff_id in zip(layers, diff_ids, strict=True):
            output = Output(Digest(layer["digest"]), layer["size"], Digest(diff_id))
            result = Result(outputs={"layer": output, "needs": output}, sandboxed=True)
            document = canonical.encode(plain(result))
            target = store.path / "results" / action.key.hex
            target.unlink(missing_ok=True)
            target.write_bytes(document)
            for name in (layer["digest"], diff_id):
                other = store.path / "derived" / Digest(name).hex
                other.unlink(missing_ok=True)
                other.write_bytes(canonical.encode(plain(action)))


def test_facts_that_somebody_left_in_the_store_prove_nothing(unsigned, fresh, cli):
    shutil.copytree(unsigned.tiny.store.path, fresh)
    files = {"opt/venv/lib/python3.11/site-packages/numpy/__init__.py": b"import evil\n"}
    place, _ = unsigned.layer("numpy")
    unsigned.set_layer(place, packed(unsigned, files))
    unsigned.sign()
    poisoned(unsigned, Store(fresh))
    key = unsigned.tiny.key.public
    answer = cli("verify", unsigned.folder, "--key", key, "--offline", store=fresh)
    assert answer.failed_with("derivation-mismatch")


def test_a_changed_package_in_a_store_is_found_whatever_the_store_says(unsigned, fresh, cli):
    """Blobs, notes of referrers and derivations, all planted: the signature is even real."""
    shutil.copytree(unsigned.tiny.store.path, fresh)
    store = Store(fresh)
    place, _ = unsigned.layer("numpy")
    unsigned.set_layer(place, packed(unsigned, {"opt/venv/x.py": b"import evil\n"}))
    unsigned.sign()
    for path in blobs(unsigned):
        store.put_bytes(path.read_bytes())
    for subject, digests in referrers(unsigned).items():
        for digest in digests:
            store.refer(subject, digest)
    poisoned(unsigned, store)
    key = unsigned.tiny.key.public
    answer = cli("verify", unsigned.digest, "--key", key, "--offline", store=fresh)
    assert answer.failed_with("derivation-mismatch")


def referrers(attack):
    top = json.loads((attack.folder / "index.json").read_bytes())["manifests"]
    found = {}
    for entry in top[1:]:
        subject = entry["annotations"]["org.opencontainers.image.ref.name"].replace("-", ":")
        listing = attack.document(entry["digest"])["manifests"]
        found[Digest(subject)] = [Digest(one["digest"]) for one in listing]
    return found


def test_wrong_derivations_in_the_store_never_make_a_package_of_the_store_another(tiny, fresh, cli):
    shutil.copytree(tiny.store.path, fresh)
    assert cli("sign", tiny.digest, "--key", tiny.key.private, store=fresh).code == 0
    files = sorted((fresh / "derived").iterdir())
    texts = [path.read_bytes() for path in files]
    for path, text in zip(files, texts[1:] + texts[:1], strict=True):
        path.unlink()
        path.write_bytes(text)
    answer = cli("verify", tiny.digest, "--key", tiny.key.public, "--offline", store=fresh)
    assert answer.code == 1


def test_stray_files_among_the_referrers_of_a_store_are_no_traceback(tiny, fresh, cli):
    shutil.copytree(tiny.store.path, fresh)
    folder = fresh / "referrers" / tiny.digest.hex
    folder.mkdir(exist_ok=True)
    (folder / "README").touch()
    answer = cli("verify", tiny.digest, "--key", tiny.key.public, "--offline", store=fresh)
    assert answer.code == 1
    assert "internal" not in answer.errors


# ---- what verifying does to the machine


WATCHED = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system", "exec")
SEEN: list[str] = []
WATCHING: list[bool] = []


def watch(event, args):
    if WATCHING and event in WATCHED:
        code = args[0] if event == "exec" else None
        if code is None or "tiny" in getattr(code, "co_filename", ""):
            SEEN.append(event)


def test_nothing_of_the_package_runs_and_nothing_outside_the_store_is_written(
    signed, tmp_path, monkeypatch, cli
):
    telltale = tmp_path / "telltale"
    monkeypatch.setenv("TELLTALE", str(telltale))
    store = tmp_path / "verifier's store"
    shutil.copytree(signed.tiny.store.path, store)
    outside = [signed.folder, signed.tiny.workspace, signed.tiny.layout.parent / "state"]
    before = [watched_tree(folder) for folder in outside]
    sys.addaudithook(watch)
    WATCHING.append(True)
    try:
        key = signed.tiny.key.public
        words = ("verify", signed.folder, "--key", key, "--offline", "--source")
        assert cli(*words, signed.tiny.workspace, store=store).passed
    finally:
        WATCHING.clear()
    assert SEEN == []
    assert not telltale.exists()
    assert [watched_tree(folder) for folder in outside] == before


# ---- bounds


def test_layers_that_inflate_without_end_are_refused(unsigned, monkeypatch):
    monkeypatch.setattr(leaves, "_MOST_INFLATED", 1 << 20)
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), "opt/model/src/zeros": bytes(8 << 20)}
    unsigned.set_layer(place, packed(unsigned, files))
    assert unsigned.verify().failed_with("layer-unsafe")


def test_entries_without_end_are_refused(unsigned, monkeypatch):
    monkeypatch.setattr(leaves, "_MOST_ENTRIES", 100)
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), **{f"opt/model/src/{n}": b"" for n in range(101)}}
    unsigned.set_layer(place, packed(unsigned, files))
    assert unsigned.verify().failed_with("layer-unsafe")


def test_an_index_of_thousands_of_images_is_refused_at_once(unsigned):
    index = unsigned.index
    index["manifests"] *= 10_000
    unsigned.set_index(index)
    started = time.monotonic()
    assert unsigned.verify().failed_with("content-extra")
    assert time.monotonic() - started < 5


def test_an_image_of_thousands_of_layers_is_refused_at_once(unsigned):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers(layers[:1] * 10_000, diff_ids[:1] * 10_000)
    started = time.monotonic()
    assert unsigned.verify().failed_with("content-extra")
    assert time.monotonic() - started < 5


def test_a_document_larger_than_any_is_refused_unread(unsigned):
    unsigned.set_config(b"{" + b" " * (40 << 20) + b"}")
    assert unsigned.verify().failed_with("content-mismatch")


def test_a_spec_larger_than_any_is_refused_unread(unsigned):
    spec = json.loads(unsigned.files("spec and locks")[SPEC])
    spec["package"]["summary"] = "x" * (1 << 20)
    unsigned.replace_file("spec and locks", SPEC, canonical.encode(spec))
    assert unsigned.verify().failed_with("content-mismatch")


def test_a_layer_that_claims_to_be_larger_than_it_is_is_refused(unsigned):
    manifest = unsigned.manifest()
    manifest["layers"][-1]["size"] = 1 << 50
    unsigned.set_manifest(manifest)
    assert unsigned.verify().failed_with("content-mismatch")


def test_findings_are_fit_for_a_terminal_and_have_an_end(unsigned):
    evil = "\x1b[2J\rPASSED\x9b"
    files = {f"opt/model/{n}": b"" for n in range(2000)}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, packed(unsigned, {**unsigned.files("spec and locks"), **files}))
    index = unsigned.index
    index[evil * 1000] = 1
    answer = unsigned.verify()
    assert answer.failed_with("content-extra")
    assert len(answer.json["findings"]) <= 1001
    unsigned.set_index(index)
    answer = unsigned.verify()
    text = json.dumps(answer.json, ensure_ascii=False)
    assert answer.failed_with("content-mismatch")
    assert not set("\x1b\r\x9b") & set(text.replace("\\r", "\r").replace("\\u001b", "\x1b"))
    assert len(text) < 20_000
