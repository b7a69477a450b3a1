"""An image as a tar: a layout and a ``docker save`` in one, the same bytes from wherever."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest


@pytest.fixture
def exported(tiny, cli, tmp_path):
    """The tar of the package in the store."""
    target = tmp_path / "exported.tar"
    answer = cli("export", tiny.digest, "--image", target)
    assert answer.code == 0, answer.json
    return target


def members(path):
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() if m.isfile() else None for m in archive}


def document(path, name):
    return json.loads(members(path)[name])


def refusal(cli, ref, target):
    answer = cli("export", ref, "--image", target)
    (finding,) = answer.json["findings"]
    assert (answer.code, answer.json["ok"]) == (2, False)
    return finding["code"], finding["message"]


def test_a_layout_and_the_store_it_came_from_export_the_same_bytes(exported, unsigned, cli):
    again = exported.with_name("again.tar")
    assert cli("export", unsigned.folder, "--image", again).code == 0
    assert again.read_bytes() == exported.read_bytes()


def test_the_answer_names_the_file_and_the_image(unsigned, cli, tmp_path):
    target = tmp_path / "new" / "folder" / "tiny.tar"
    answer = cli("export", unsigned.folder, "--accelerator", "cpu", "--image", target)
    assert answer.json == {
        "schema": "mpbuild.export/1",
        "ok": True,
        "kind": "image",
        "path": str(target),
        "digest": unsigned.index["manifests"][0]["digest"],
        "size": target.stat().st_size,
        "name": "localhost/tiny:1.0.0-cpu",
        "accelerator": "cpu",
        "findings": [],
    }
    assert [path.name for path in target.parent.iterdir()] == ["tiny.tar"]


def test_the_tar_is_a_whole_layout_of_one_image(exported, unsigned):
    assert document(exported, "oci-layout") == {"imageLayoutVersion": "1.0.0"}
    (entry,) = document(exported, "index.json")["manifests"]
    assert entry == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": unsigned.index["manifests"][0]["digest"],
        "size": unsigned.index["manifests"][0]["size"],
        "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {
            "dev.mpbuild.accelerator": "cpu",
            "dev.mpbuild.kind": "image",
            "io.containerd.image.name": "localhost/tiny:1.0.0-cpu",
            "org.opencontainers.image.ref.name": "1.0.0-cpu",
        },
    }
    blobs = {name: data for name, data in members(exported).items() if name[:13] == "blobs/sha256/"}
    assert all(name[13:] == hashlib.sha256(data).hexdigest() for name, data in blobs.items())
    manifest = json.loads(blobs[f"blobs/sha256/{entry['digest'][7:]}"])
    wanted = {entry["digest"], manifest["config"]["digest"]}
    wanted |= {layer["digest"] for layer in manifest["layers"]}
    assert {f"sha256:{name[13:]}" for name in blobs} == wanted


def test_docker_finds_configuration_layers_and_name_in_its_own_manifest(exported, unsigned):
    manifest = unsigned.manifest()
    (saved,) = document(exported, "manifest.json")
    assert saved == {
        "Config": f"blobs/sha256/{manifest['config']['digest'][7:]}",
        "Layers": [f"blobs/sha256/{layer['digest'][7:]}" for layer in manifest["layers"]],
        "RepoTags": ["localhost/tiny:1.0.0-cpu"],
    }


def test_no_member_tells_who_exported_and_when(exported):
    with tarfile.open(exported) as archive:
        about = {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in archive if m.isfile()}
    assert about == {(0, 0, "", "", 315532800, 0o644)}


def test_a_layer_that_is_listed_twice_is_written_once(unsigned, cli, tmp_path):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers([*layers, layers[-1]], [*diff_ids, diff_ids[-1]])
    assert cli("export", unsigned.folder, "--image", tmp_path / "twice.tar").code == 0
    with tarfile.open(tmp_path / "twice.tar") as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    (saved,) = document(tmp_path / "twice.tar", "manifest.json")
    assert saved["Layers"][-1] == saved["Layers"][-2]


def named(attack, **annotations):
    index = attack.index
    known = {key.rpartition(".")[2]: key for key in index["annotations"]}
    index["annotations"] |= {known[key]: value for key, value in annotations.items()}
    attack.set_index(index)
    return attack.folder


@pytest.mark.parametrize(
    ("title", "version", "name"),
    [
        ("tiny", "1.0.0+build.7", "localhost/tiny:1.0.0_build.7-cpu"),
        ("tiny--1-", "1.0.0-rc.1", "localhost/tiny--1:1.0.0-rc.1-cpu"),
    ],
)
def test_what_a_spec_may_be_called_becomes_a_name_that_engines_take(
    unsigned, cli, tmp_path, title, version, name
):
    target = tmp_path / "named.tar"
    answer = cli("export", named(unsigned, title=title, version=version), "--image", target)
    assert answer.json["name"] == name
    assert document(target, "manifest.json")[0]["RepoTags"] == [name]


@pytest.mark.parametrize(
    "annotations",
    [
        {"title": "../tiny"},
        {"title": "Tiny"},
        {"title": "a/b"},
        {"title": "tiny:latest@sha256"},
        {"title": ""},
        {"version": "1 0"},
        {"version": "1" * 128},
    ],
)
def test_a_name_that_no_engine_takes_is_refused(unsigned, cli, tmp_path, annotations):
    target = tmp_path / "named.tar"
    code, message = refusal(cli, named(unsigned, **annotations), target)
    assert (code, "not a valid repository and tag" in message) == ("content-mismatch", True)
    assert not target.exists()


def nothing_new(folder):
    return [path.name for path in folder.iterdir() if path.suffix == ".tar" or path.name[0] == "."]


def test_a_bad_layer_leaves_no_file(unsigned, cli, tmp_path):
    path = unsigned.layout.blob(Digest(unsigned.manifest()["layers"][-1]["digest"]))
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    code, _ = refusal(cli, unsigned.folder, tmp_path / "bad.tar")
    assert code == "content-mismatch"
    assert nothing_new(tmp_path) == []


def test_a_failed_export_leaves_the_file_of_the_last_one(unsigned, cli, tmp_path):
    target = tmp_path / "kept.tar"
    assert cli("export", unsigned.folder, "--image", target).code == 0
    before = target.read_bytes()
    path = unsigned.layout.blob(Digest(unsigned.manifest()["layers"][-1]["digest"]))
    path.write_bytes(b"")
    refusal(cli, unsigned.folder, target)
    assert target.read_bytes() == before
    assert nothing_new(tmp_path) == ["kept.tar"]


def test_a_layer_of_another_size_than_its_descriptor_says_is_refused(tiny, cli, tmp_path):
    """A store holds what its own documents say; a lie there must not shift the tar's members."""
    index = json.loads(tiny.store.read(tiny.digest))
    manifest = json.loads(tiny.store.read(Digest(index["manifests"][0]["digest"])))
    manifest["layers"][0]["size"] += 512
    data = canonical.encode(manifest)
    index["manifests"][0] |= {"digest": str(tiny.store.put_bytes(data)), "size": len(data)}
    digest = tiny.store.put_bytes(canonical.encode(index))
    code, message = refusal(cli, digest, tmp_path / "shifted.tar")
    assert (code, "bytes, not" in message) == (
        "content-mismatch",
        True,
    )
    assert nothing_new(tmp_path) == []


def test_only_a_file_is_replaced(unsigned, cli, tmp_path):
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", Path("/dev/null")):
        assert refusal(cli, unsigned.folder, target) == ("usage", "exists and is not a file")
    target = tmp_path / "old.tar"
    target.write_bytes(b"old")
    assert cli("export", unsigned.folder, "--image", target).code == 0
    assert tarfile.is_tarfile(target)


def test_an_image_that_is_not_there_is_refused(unsigned, cli, tmp_path):
    target = tmp_path / "rocm.tar"
    answer = cli("export", unsigned.folder, "--accelerator", "rocm", "--image", target)
    assert (answer.code, target.exists()) == (2, False)
    assert answer.json["findings"][0]["message"] == "the package has no image for rocm"
