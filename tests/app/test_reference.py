"""A package that is read out of a layout of whoever: every byte is compared before it is used."""

import gzip as stdlib_gzip
import json
import shutil
import tarfile

import pytest

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.store.store import Store
from mpbuild.package.in_layout import in_layout
from mpbuild.package.in_store import in_store
from mpbuild.package.package import Package
from tests.making.tars import write_tar


@pytest.fixture
def fresh(tmp_path):
    """A store in which nothing has been unpacked."""
    return Store(tmp_path / "fresh store")


def trees(attack, store, ref=""):
    """All layers of all images, unpacked."""
    package = Package(in_layout(f"{attack.folder}{ref}", store))
    return [tree for image in package.images() for tree in package.trees(image)]


def refusal(attack, store):
    with pytest.raises(InputError) as caught:
        trees(attack, store)
    return caught.value.findings[0]


def listing(root):
    return {
        path.relative_to(root).as_posix(): (
            oct(path.lstat().st_mode),
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
        )
        for path in root.rglob("*")
    }


def test_a_layout_gives_the_same_trees_as_the_store_it_was_built_in(unsigned, tiny, fresh):
    package = Package(in_store(tiny.store, tiny.digest))
    derived = [tree for image in package.images() for tree in package.trees(image)]
    unpacked = trees(unsigned, fresh)
    assert [tree.name for tree in unpacked] == [tree.name for tree in derived]
    assert [listing(tree) for tree in unpacked] == [listing(tree) for tree in derived]


def blob_named(attack, role):
    if role == "index":
        return attack.digest
    if role == "manifest":
        return Digest(attack.index["manifests"][0]["digest"])
    if role == "config":
        return Digest(attack.manifest()["config"]["digest"])
    return Digest(attack.manifest()["layers"][int(role.partition(" ")[2])]["digest"])


ROLES = ["index", "manifest", "config", *(f"layer {i}" for i in range(7))]


def test_every_blob_of_the_image_is_among_those_that_get_flipped(unsigned):
    manifest = unsigned.manifest()
    image = {one["digest"] for one in (manifest["config"], *manifest["layers"])}
    assert image <= {blob_named(unsigned, role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_a_flipped_byte_is_found_wherever_it_is(unsigned, fresh, role):
    """In a header, in the content, in a CRC, in the last byte: what is read is compared first."""
    path = unsigned.layout.blob(blob_named(unsigned, role))
    data = path.read_bytes()
    for place in (0, 5, 12, len(data) // 3, len(data) // 2, -9, -5, -1):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        assert refusal(unsigned, fresh).code == "content-mismatch", place


@pytest.mark.parametrize("role", ROLES)
def test_a_blob_of_another_length_is_found(unsigned, fresh, role):
    path = unsigned.layout.blob(blob_named(unsigned, role))
    data = path.read_bytes()
    for changed in (data[:-1], data + b"\0", b""):
        path.write_bytes(changed)
        assert refusal(unsigned, fresh).code == "content-mismatch"
    path.unlink()
    assert refusal(unsigned, fresh).code == "content-missing"


def test_nothing_of_a_bad_layer_is_left_behind(unsigned, fresh):
    path = unsigned.layout.blob(blob_named(unsigned, "layer 0"))
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    refusal(unsigned, fresh)
    assert list((fresh.path / "trees").iterdir()) == []
    assert [p for p in (fresh.path / "scratch").iterdir() if p.suffix != ".lock"] == []


def test_a_layer_whose_plain_tar_is_another_is_refused(unsigned, fresh):
    """Good gzip, good tar, right digest of the blob, and another diff_id in the configuration."""
    layers, diff_ids = unsigned.rows()
    diff_ids[0] = str(Digest.of(b"another"))
    unsigned.set_layers(layers, diff_ids)
    assert refusal(unsigned, fresh).code == "content-mismatch"


def packed(*members):
    """The blob of a layer of ``members``, as ``write_tar`` takes them."""
    plain = write_tar(members, form=tarfile.PAX_FORMAT)
    return stdlib_gzip.compress(plain, mtime=0)


HOSTILE = {
    "a path through a link": [("a", "->/tmp"), ("a/b", b"x")],
    "a path through a link that comes later": [("d", None), ("d/a/b", b"x"), ("d/a", "->/tmp")],
    "a path under a file": [("a", b""), ("a/b", b"x")],
    "a whiteout": [("d", None), ("d/.wh.passwd", b"")],
    "an opaque whiteout": [("d", None), ("d/.wh..wh..opq", b"")],
    "a parent": [("../x", b"")],
    "a parent within": [("d", None), ("d/../../x", b"")],
    "an absolute path": [("/etc/x", b"")],
    "a hard link out": [("x", "=>../../etc/passwd")],
    "a hard link to an absolute path": [("x", "=>/etc/passwd")],
    "a hard link to what is not there": [("x", "=>y")],
    "a link that climbs out": [("x", "->../../etc/passwd")],
    "a device": [("x", 0x33)],
    "a pipe": [("x", 0x36)],
    "a path twice": [("x", b"1"), ("x", b"2")],
    "a path twice by case": [("x", b"1"), ("X", b"2")],
    "a file without its folder": [("d/x", b"")],
    "a file before its folder": [("d/x", b""), ("d", None)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_layer_that_leads_elsewhere_is_refused_before_a_file_is_made(unsigned, fresh, what):
    unsigned.add_layer(packed(*HOSTILE[what]), place=0)
    finding = refusal(unsigned, fresh)
    assert finding.code == "layer-unsafe"
    assert list((fresh.path / "trees").iterdir()) == []


def test_a_layer_by_other_hands_can_be_unpacked_and_gives_no_privileges(unsigned, fresh):
    members = [("d", None, 0o2777), ("d/su", b"su", 0o4755), ("d/l", "->/etc/passwd"), ("e", b"")]
    unsigned.add_layer(packed(*members), place=0)
    root = trees(unsigned, fresh)[0]
    assert {path: mode for path, (mode, _) in listing(root).items()} == {
        "d": "0o40777",
        "d/su": "0o100755",
        "d/l": "0o120777",
        "e": "0o100644",
    }


def test_gzip_that_goes_on_after_the_tar_is_refused(unsigned, fresh):
    place, plain = unsigned.layer("code")
    unsigned.set_layer(place, stdlib_gzip.compress(plain + b"hidden", mtime=0))
    assert refusal(unsigned, fresh).code == "layer-unsafe"


@pytest.mark.parametrize(
    ("where", "media_type"),
    [
        ("manifest", "application/vnd.oci.image.index.v1+json"),
        ("config", "application/vnd.oci.image.manifest.v1+json"),
        ("layer", "application/vnd.oci.image.layer.v1.tar"),
        ("layer", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("layer", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ],
)
def test_a_descriptor_that_calls_its_blob_something_else_is_refused(
    unsigned, fresh, where, media_type
):
    if where == "manifest":
        index = unsigned.index
        index["manifests"][0]["mediaType"] = media_type
        unsigned.set_index(index)
    else:
        manifest = unsigned.manifest()
        entry = manifest["config"] if where == "config" else manifest["layers"][0]
        entry["mediaType"] = media_type
        unsigned.set_manifest(manifest)
    finding = refusal(unsigned, fresh)
    assert finding.code == "content-mismatch"
    assert media_type in finding.message


def test_a_manifest_offered_as_an_index_and_the_reverse_are_refused(unsigned, fresh):
    index, manifest = unsigned.index, unsigned.manifest()
    unsigned.set_manifest(index)
    assert refusal(unsigned, fresh).code == "content-mismatch"
    unsigned.set_index(manifest)
    assert refusal(unsigned, fresh).code == "content-mismatch"


@pytest.mark.parametrize("extra", ["urls", "data"])
@pytest.mark.parametrize("where", ["index", "manifest", "layer"])
def test_bytes_from_elsewhere_are_refused(unsigned, fresh, where, extra):
    value = ["https://evil.example/x"] if extra == "urls" else "eA=="
    index, manifest = unsigned.index, unsigned.manifest()
    if where == "index":
        index["manifests"][0][extra] = value
        unsigned.set_index(index)
    else:
        entry = manifest["config"] if where == "manifest" else manifest["layers"][0]
        entry[extra] = value
        unsigned.set_manifest(manifest)
    finding = refusal(unsigned, fresh)
    assert finding.code == "content-mismatch"
    assert f"unknown field `{extra}`" in finding.message


def test_a_layout_may_lie_in_a_folder_with_an_at_sign(unsigned, fresh, tmp_path):
    folder = tmp_path / "me@example" / "out"
    shutil.copytree(unsigned.folder, folder)
    digest = unsigned.digest
    for ref in (str(folder), f"{folder}@{digest}"):
        assert in_layout(ref, fresh).digest == digest


def test_an_image_is_found_by_its_accelerator(unsigned, fresh):
    package = Package(in_layout(str(unsigned.folder), fresh))
    assert package.image(None) == package.image(Accelerator.CPU)
    assert package.image(None).accelerator == "cpu"
    with pytest.raises(InputError, match="has no image for cuda") as caught:
        package.image(Accelerator.CUDA)
    assert caught.value.findings[0].hint == "it has cpu"


def test_a_wrong_size_in_a_descriptor_is_found(unsigned, fresh):
    manifest = unsigned.manifest()
    manifest["layers"][0]["size"] += 1
    unsigned.set_manifest(manifest)
    assert refusal(unsigned, fresh).code == "content-mismatch"


def test_documents_in_the_layout_are_json_of_one_reading(unsigned, fresh):
    text = json.dumps(unsigned.manifest()).encode()
    unsigned.set_manifest(b'{"schemaVersion":2,' + text[1:])
    finding = refusal(unsigned, fresh)
    assert (finding.code, "duplicate key 'schemaVersion'" in finding.message) == (
        "content-mismatch",
        True,
    )
