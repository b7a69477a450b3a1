"""OCI layouts made to deceive: verify and inspect end at once, and touch nothing but the store."""

import gzip
import json
import os
import shutil
import struct
import time

import pytest

from mpbuild.base import canonical
from mpbuild.base.errors import InputError
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.package.in_layout import in_layout
from mpbuild.package.package import Package

MISMATCH, MISSING, EXTRA = "content-mismatch", "content-missing", "content-extra"
UNSAFE, DERIVED = "layer-unsafe", "derivation-mismatch"
OTHER = f"sha256:{'0' * 64}"
DEEP = b"[" * 200_000


def text(name, data):
    """A file of the layout's root with other bytes."""
    return lambda a, c, g: (a.folder / name).write_bytes(data)


def instead(name, make):
    """Something else where a file of the layout's root was."""

    def change(a, c, g):
        path = a.folder / name
        path.unlink()
        make(path)

    return change


def top(change):
    """Another ``index.json``."""

    def make(a, c, g):
        path = a.folder / "index.json"
        document = json.loads(path.read_bytes())
        change(document)
        path.write_bytes(canonical.encode(document))

    return make


def index(change):
    """Another index of the package; everything that points at it is hashed again."""

    def make(a, c, g):
        document = a.index
        change(document)
        a.set_index(document)

    return make


def manifest(change):
    """Another manifest of its first image."""

    def make(a, c, g):
        document = a.manifest()
        change(document)
        a.set_manifest(document)

    return make


def config(change):
    """Another configuration of its first image."""

    def make(a, c, g):
        document = a.config()
        change(document)
        a.set_config(document)

    return make


def document(setter, data):
    """Bytes for an index, manifest or configuration, under their right digest."""
    return lambda a, c, g: getattr(a, setter)(data)


def blob(make):
    """Something else in the place of the package's index among the blobs."""

    def change(a, c, g):
        path = a.layout.blob(a.digest)
        moved = path.rename(g.canary / "moved")
        make(path, moved)

    return change


def layer(make):
    """A layer more, of raw members of a tar."""
    return lambda a, c, g: a.add_layer(make(c))


def tar(*members, **fields):
    """A layer more with a harmless file among the model's code, and one member after it."""
    return layer(lambda c: c.layer(*_folders(c), c.tar_member(*members, **fields)))


def raw(make):
    """The same with the bytes of ``make`` after the harmless file."""
    return layer(lambda c: c.layer(*_folders(c), make(c)))


def _folders(c):
    yield from (c.tar_member(p, kind=b"5") for p in (b"opt", b"opt/model", b"opt/model/src"))
    yield c.tar_member(b"opt/model/src/harmless.py", b"x")


def packed(pack):
    """A layer's plain bytes, packed by ``pack``, under the diff_id that they have."""

    def change(a, c, g):
        plain = b"".join(_folders(c)) + c.END
        layers, diff_ids = a.rows()
        layers.append({**layers[0], **a.put(pack(plain))})
        diff_ids.append(str(oci.Digest.of(plain)))
        a.set_layers(layers, diff_ids)

    return change


def nested(a, c, g):
    """An index in an index in an index, a thousand deep."""
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [], "annotations": {}}
    for _ in range(1000):
        inner = {"mediaType": oci.INDEX, **a.put(canonical.encode(document))}
        document = {**document, "manifests": [inner]}
    a.set_index(document)


def in_circles(a, c, g):
    """An ``index.json`` that lists itself, under a digest that is not its own."""
    path = a.folder / "index.json"
    listed = json.loads(path.read_bytes())
    listed["manifests"][0] |= {"digest": OTHER, "size": path.stat().st_size}
    path.write_bytes(canonical.encode(listed))
    a.layout.blob(oci.Digest(OTHER)).symlink_to(path)


LAYOUTS = {
    "has a pipe for an index": (instead("index.json", os.mkfifo), MISMATCH, "not a regular file"),
    "has a folder for an index": (
        instead("index.json", lambda path: path.mkdir()),
        MISMATCH,
        "not a regular file",
    ),
    "has a device for an index": (
        instead("index.json", lambda path: path.symlink_to("/dev/zero")),
        MISMATCH,
        "not a regular file",
    ),
    "has an index that leads nowhere": (
        instead("index.json", lambda path: path.symlink_to("nowhere")),
        MISSING,
        "the layout lacks index.json",
    ),
    "has an index of 40 MB": (
        text("index.json", b" " * (40 << 20)),
        MISMATCH,
        "the document has",
    ),
    "has an index of nothing": (text("index.json", b""), MISMATCH, "not JSON"),
    "has an index that is nested without end": (text("index.json", DEEP), MISMATCH, "not JSON"),
    "has an index that says two things": (
        text("index.json", b'{"manifests":[],"manifests":[]}'),
        MISMATCH,
        "duplicate key 'manifests'",
    ),
    "has an index of other bytes than UTF-8": (text("index.json", b"\xff\xfe"), MISMATCH, "utf-8"),
    "has an index with a byte order mark": (
        text("index.json", b"\xef\xbb\xbf{}"),
        MISMATCH,
        "not JSON",
    ),
    "has an index with a number that is none": (
        text("index.json", b'{"manifests":NaN}'),
        MISMATCH,
        "NaN is not JSON",
    ),
    "has an index with a number without end": (
        text("index.json", b'{"manifests":' + b"9" * 100_000 + b"}"),
        MISMATCH,
        "not JSON",
    ),
    "has an index with half of a character": (
        text("index.json", b'{"manifests":[],"x":"\\ud800"}'),
        MISMATCH,
        "not JSON",
    ),
    "lists nothing": (top(lambda d: d.update(manifests=[])), MISSING, "holds no package"),
    "gives a size of the package that it has not": (
        top(lambda d: d["manifests"][0].update(size=7)),
        MISMATCH,
        "not 7",
    ),
    "gives an address for the package": (
        top(lambda d: d["manifests"][0].update(urls=["https://evil.example/"])),
        MISMATCH,
        "urls",
    ),
    "gives a digest that is a path": (
        top(lambda d: d["manifests"][0].update(digest="sha256:../../../../canary/file")),
        MISMATCH,
        "digest",
    ),
    "gives a weak digest": (
        top(lambda d: d["manifests"][0].update(digest=f"md5:{'0' * 32}")),
        MISMATCH,
        "digest",
    ),
    "is of another version": (
        text("oci-layout", b'{"imageLayoutVersion":"2.0.0"}'),
        MISMATCH,
        "oci-layout: expected",
    ),
    "is of two versions": (
        text("oci-layout", b'{"imageLayoutVersion":"9","imageLayoutVersion":"1.0.0"}'),
        MISMATCH,
        "duplicate key 'imageLayoutVersion'",
    ),
    "has a blob that leads nowhere": (
        blob(lambda path, moved: path.symlink_to("nowhere")),
        MISSING,
        "lacks",
    ),
    "has a blob that leads to other bytes": (
        blob(lambda path, moved: path.symlink_to(moved.with_name("file"))),
        MISMATCH,
        "does not match its digest",
    ),
    "has a blob that leads to a device": (
        blob(lambda path, moved: path.symlink_to("/dev/zero")),
        MISMATCH,
        "not a regular file",
    ),
    "has a pipe for a blob": (
        blob(lambda path, moved: os.mkfifo(path)),
        MISMATCH,
        "not a regular file",
    ),
    "has a folder for a blob": (
        blob(lambda path, moved: path.mkdir()),
        MISMATCH,
        "not a regular file",
    ),
    "has a blob that ends early": (
        blob(lambda path, moved: path.write_bytes(moved.read_bytes()[:-1])),
        MISMATCH,
        "does not match its digest",
    ),
    "has a file among the blobs that is none": (
        lambda a, c, g: (a.folder / "blobs/sha256/evil.sh").write_text("#!/bin/sh\n"),
        EXTRA,
        "not the name of a blob",
    ),
    "has a blob whose name is in capitals": (
        lambda a, c, g: (a.folder / "blobs/sha256" / ("A" * 64)).write_text("x"),
        EXTRA,
        "not the name of a blob",
    ),
    "has no blobs": (
        lambda a, c, g: shutil.rmtree(a.folder / "blobs"),
        MISSING,
        "cannot be read",
    ),
    "lists itself": (in_circles, MISMATCH, "does not match its digest"),
    "has an index nested without end": (document("set_index", DEEP), MISMATCH, "not JSON"),
    "has a manifest nested without end": (document("set_manifest", DEEP), MISMATCH, "not JSON"),
    "has a configuration nested without end": (document("set_config", DEEP), MISMATCH, "not JSON"),
    "has a configuration that says two things": (
        document("set_config", b'{"config":{},"config":{}}'),
        MISMATCH,
        "duplicate key 'config'",
    ),
    "has a manifest that is an index": (
        manifest(lambda d: d.update(mediaType=oci.INDEX)),
        MISMATCH,
        f"not a {oci.MANIFEST}",
    ),
    "has a manifest of another schema": (
        manifest(lambda d: d.update(schemaVersion=1)),
        MISMATCH,
        f"not a {oci.MANIFEST}",
    ),
    "has a manifest with a field that nobody knows": (
        manifest(lambda d: d.update(evil=1)),
        MISMATCH,
        "evil",
    ),
    "has a manifest with a subject": (
        manifest(lambda d: d.update(subject=d["config"])),
        MISMATCH,
        "subject",
    ),
    "has a layer with data of its own": (
        manifest(lambda d: d["layers"][0].update(data="e30=")),
        MISMATCH,
        "data",
    ),
    "has a layer of a negative size": (
        manifest(lambda d: d["layers"][0].update(size=-1)),
        MISMATCH,
        "not -1",
    ),
    "has a layer of a size beyond every number": (
        manifest(lambda d: d["layers"][0].update(size=2**53 - 1)),
        MISMATCH,
        "not 9007199254740991",
    ),
    "has a layer that is a word long": (
        manifest(lambda d: d["layers"][0].update(size="many")),
        MISMATCH,
        "size",
    ),
    "has a layer that is not there": (
        manifest(lambda d: d["layers"][0].update(digest=OTHER)),
        MISSING,
        f"lacks the blob {OTHER}",
    ),
    "has a layer of another media type": (
        manifest(lambda d: d["layers"][0].update(mediaType=f"{oci.LAYER_GZIP}+encrypted")),
        MISMATCH,
        "+encrypted",
    ),
    "has a layer that engines fetch elsewhere": (
        manifest(
            lambda d: d["layers"][0].update(
                mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            )
        ),
        MISMATCH,
        "nondistributable",
    ),
    "has ten thousand layers": (
        lambda a, c, g: a.set_layers(*(row[:1] * 10_000 for row in a.rows())),
        EXTRA,
        "10000 layers",
    ),
    "has a configuration for fewer layers": (
        config(lambda d: d["rootfs"]["diff_ids"].pop()),
        MISMATCH,
        "layers, its configuration",
    ),
    "has a configuration with other layers": (
        config(lambda d: d["rootfs"]["diff_ids"].reverse()),
        MISMATCH,
        "does not match its digest",
    ),
    "has a configuration of 40 MB": (
        document("set_config", b"{" + b" " * (40 << 20) + b"}"),
        MISMATCH,
        "the document has",
    ),
    "has ten thousand children": (
        index(lambda d: d.update(manifests=d["manifests"] * 5000)),
        EXTRA,
        "children",
    ),
    "has a thousand indexes in one another": (nested, EXTRA, "has the unknown kind"),
    "has a child that is an index": (
        index(lambda d: d["manifests"][0].update(mediaType=oci.INDEX)),
        MISMATCH,
        "has the media type",
    ),
    "has a child of another size": (
        index(lambda d: d["manifests"][0].update(size=5)),
        MISMATCH,
        "not 5",
    ),
    "has a child of no known kind": (
        index(lambda d: d["manifests"][0]["annotations"].update({"dev.mpbuild.kind": "../evil"})),
        EXTRA,
        "has the unknown kind '../evil'",
    ),
    "has a child for an accelerator that is a path": (
        index(
            lambda d: d["manifests"][0]["annotations"].update(
                {"dev.mpbuild.accelerator": "../../evil"}
            )
        ),
        DERIVED,
        "unknown accelerator '../../evil'",
    ),
    "has a layer with a CRC that lies": (
        packed(lambda plain: gzip.compress(plain)[:-8] + struct.pack("<2L", 7, len(plain))),
        UNSAFE,
        "wrong CRC-32 or size in a gzip member",
    ),
    "has a layer with a size that lies": (
        packed(lambda plain: gzip.compress(plain)[:-4] + struct.pack("<L", 7)),
        UNSAFE,
        "wrong CRC-32 or size in a gzip member",
    ),
    "has a layer with bytes after its end": (
        packed(lambda plain: gzip.compress(plain) + b"smuggled, and long enough"),
        UNSAFE,
        "not a gzip member",
    ),
    "has a layer with an archive after its end": (
        packed(lambda plain: gzip.compress(plain + plain)),
        UNSAFE,
        "trailing bytes after the end of the archive",
    ),
    "has a layer that is cut": (
        packed(lambda plain: gzip.compress(plain)[:-9]),
        UNSAFE,
        "truncated",
    ),
    "has a layer that is not compressed": (packed(bytes), UNSAFE, "not a gzip member"),
    "has a layer with a name without end": (
        packed(lambda plain: b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (1 << 17)),
        UNSAFE,
        "a text in a gzip header is longer than 65536 bytes",
    ),
}

LAYERS = {
    "deletes files of other layers": (tar(b"opt/model/src/.wh.model.py"), "a whiteout"),
    "empties a folder of other layers": (tar(b"opt/model/src/.wh..wh..opq"), "a whiteout"),
    "climbs out": (tar(b"opt/model/src/../../../../../../../../evil", b"x"), "the name '..'"),
    "has an absolute path": (tar(b"/tmp/evil", b"x"), "is absolute"),
    "climbs out by an extended header": (
        raw(lambda c: c.pax(path="../../evil") + c.tar_member(b"opt/model/src/x", b"x")),
        "the name '..'",
    ),
    "climbs out by a long name": (
        raw(
            lambda c: (
                c.tar_member(b"././@LongLink", b"../" * 40 + b"evil\0", kind=b"L")
                + c.tar_member(b"opt/model/src/x", b"x")
            )
        ),
        "the name '..'",
    ),
    "has a hard link out": (
        tar(b"opt/model/src/x", kind=b"1", target=b"../../../../canary/file"),
        "the name '..'",
    ),
    "has a hard link to an absolute path": (
        tar(b"opt/model/src/x", kind=b"1", target=b"/etc/passwd"),
        "is absolute",
    ),
    "has a character device": (tar(b"opt/model/src/x", kind=b"3"), "a character device"),
    "has a block device": (tar(b"opt/model/src/x", kind=b"4"), "a block device"),
    "has a named pipe": (tar(b"opt/model/src/x", kind=b"6"), "a named pipe"),
    "has a sparse file": (tar(b"opt/model/src/x", kind=b"S"), "a sparse file"),
    "has a sparse file by an extended header": (
        raw(lambda c: c.pax(GNU__sparse__major="1") + c.tar_member(b"opt/model/src/x", b"x")),
        "unknown record",
    ),
    "grants privileges by an attribute": (
        raw(
            lambda c: (
                c.pax(SCHILY__xattr__security__capability="x")
                + c.tar_member(b"opt/model/src/x", b"x")
            )
        ),
        "unknown record",
    ),
    "has a size beyond its end": (
        raw(lambda c: c.tar_block(b"opt/model/src/x", size=1 << 32)),
        "truncated",
    ),
    "has an extended header of gigabytes": (
        raw(lambda c: c.tar_block(b"x", kind=b"x", size=1 << 32)),
        "extended header of 4294967296 bytes; at most 1048576",
    ),
    "has a wrong checksum": (
        raw(lambda c: c.tar_member(b"opt/model/src/x").replace(b"src/x", b"src/y")),
        "wrong checksum in a header",
    ),
    "has a NUL in a path": (
        raw(lambda c: c.pax(path="opt/model/src/a\0b") + c.tar_member(b"x", b"x")),
        "a control character",
    ),
    "has a backslash in a path": (tar(b"opt/model/src/..\\evil", b"x"), "a backslash"),
    "has a name that is no UTF-8": (tar(b"opt/model/src/\xff", b"x"), "not UTF-8"),
    "has zeros between members": (
        raw(lambda c: bytes(512) + c.tar_member(b"opt/model/src/x")),
        "between members",
    ),
}
TREES = {
    "has a link that climbs out": (
        tar(b"opt/model/src/x", kind=b"2", target=b"../../../../canary"),
        "leaves the root",
    ),
    "climbs out by a chain of links": (
        raw(
            lambda c: (
                c.tar_member(b"opt/a", kind=b"2", target=b".")
                + c.tar_member(b"opt/b", kind=b"2", target=b"a/../..")
            )
        ),
        "leaves the root, or may",
    ),
    "writes through a link": (
        raw(
            lambda c: (
                c.tar_member(b"opt/a", kind=b"2", target=b"/tmp")
                + c.tar_member(b"opt/a/evil", b"evil")
            )
        ),
        "which is not a directory",
    ),
    "has a file in place of a link": (
        raw(
            lambda c: (
                c.tar_member(b"opt/a", kind=b"2", target=b"../canary/file")
                + c.tar_member(b"opt/a", b"evil")
            )
        ),
        "duplicate path opt/a",
    ),
    "has a hard link to a link": (
        raw(
            lambda c: (
                c.tar_member(b"opt/a", kind=b"2", target=b"/etc/passwd")
                + c.tar_member(b"opt/b", kind=b"1", target=b"opt/a")
            )
        ),
        "not an earlier file",
    ),
    "has two names that differ in case": (
        raw(lambda c: c.tar_member(b"opt/a", b"x") + c.tar_member(b"opt/A", b"y")),
        "differ only in case or Unicode form",
    ),
    "has a file that is a folder too": (
        raw(lambda c: c.tar_member(b"opt/a", b"x") + c.tar_member(b"opt/a/b", b"y")),
        "which is not a directory",
    ),
    "has a file without its folder": (tar(b"srv/x", b"x"), "precedes its folder"),
}


@pytest.fixture
def layout(unsigned, ground, craft):
    """``layout(change)``: a layout on the ground, changed; returns its path."""

    def make(change):
        folder = ground.here / "layout"
        shutil.move(unsigned.folder, folder)
        unsigned.folder = folder
        unsigned.layout = type(unsigned.layout)(folder)
        change(unsigned, craft, ground)
        return folder

    return make


def judged(ground, folder, key):
    """The verdict on a layout; what ``inspect`` says of it must be an answer, too."""
    started = time.monotonic()
    with ground.untouched():
        answer = ground.command("verify", folder, "--key", key, "--offline")
        shown = ground.command("inspect", folder)
    assert time.monotonic() - started < 5
    assert shown.code in (0, 2)
    assert answer.code == 1, answer.json
    assert answer.json["verdict"] == "FAILED"
    assert "internal" not in answer.errors | shown.errors
    return answer


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_fails_that(layout, ground, unsigned, case):
    change, code, told = LAYOUTS[case]
    answer = judged(ground, layout(change), unsigned.tiny.key.public)
    assert code in answer.errors, answer.json["findings"]
    assert told in answer.told(code)


@pytest.mark.parametrize("case", LAYERS)
def test_an_image_fails_and_is_not_unpacked_that(layout, ground, unsigned, case):
    change, told = LAYERS[case]
    folder = layout(change)
    answer = judged(ground, folder, unsigned.tiny.key.public)
    assert UNSAFE in answer.errors, answer.json["findings"]
    assert told in answer.told(UNSAFE)
    assert refusal(ground, folder, told)


@pytest.mark.parametrize("case", TREES)
def test_an_image_is_not_unpacked_that(layout, ground, unsigned, case):
    """What is in no place of a leaf is not read to verify: that the layer is there is enough."""
    change, told = TREES[case]
    folder = layout(change)
    assert {EXTRA, DERIVED} & judged(ground, folder, unsigned.tiny.key.public).errors
    assert refusal(ground, folder, told)


def refusal(ground, folder, told):
    """Unpacking the image's layers is refused, and nothing of the last one is left."""
    store = Store(ground.store)
    package = Package(in_layout(str(folder), store))
    image = package.image(None)
    with ground.untouched(), pytest.raises(InputError) as caught:
        package.trees(image)
    assert caught.value.findings[0].code == UNSAFE
    assert told in caught.value.findings[0].message
    return not store.tree(image.config.rootfs.diff_ids[-1]).exists()


def test_a_layout_of_links_to_sound_blobs_is_read_as_any_other(layout, ground, unsigned):
    """Where bytes come from is no matter: what they are is compared."""

    def change(a, c, g):
        for path in a.blobs:
            path.symlink_to(path.rename(g.canary / path.name))

    folder = layout(change)
    answer = judged(ground, folder, unsigned.tiny.key.public)
    assert answer.errors == {"signature-missing", "provenance-missing"}
    assert ground.command("inspect", folder).code == 0
