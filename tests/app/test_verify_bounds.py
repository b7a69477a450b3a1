"""Whoever made the package decides neither how long verifying takes nor what a terminal shows."""

import json
import time

import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.store.store import Store
from mpbuild.package.image_contents import read_contents
from mpbuild.package.in_layout import in_layout
from mpbuild.package.layer_bounds import LayerBounds
from mpbuild.package.package import Package

SPEC = "opt/model/spec.json"


def refusal(attack, store, bounds):
    """The error of reading the first image within ``bounds``."""
    package = Package(in_layout(str(attack.folder), store))
    image = package.image(None)
    with pytest.raises(InputError) as caught:
        read_contents(image, package.blobs, store, bounds)
    return caught.value.findings[0]


def test_layers_that_inflate_without_end_are_refused(unsigned, tmp_path):
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), "opt/model/src/zeros": bytes(8 << 20)}
    unsigned.set_layer(place, unsigned.pack(files))
    found = refusal(unsigned, Store(tmp_path / "empty"), LayerBounds(inflated=1 << 20))
    assert (found.code, found.message) == (
        "layer-unsafe",
        "the layer inflates far beyond its size",
    )


def test_a_layer_that_lies_about_its_size_may_not_inflate_further(unsigned, tmp_path):
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), "opt/model/src/zeros": bytes(8 << 20)}
    unsigned.set_layer(place, unsigned.pack(files))
    manifest = unsigned.manifest()
    manifest["layers"][place]["size"] = 1 << 50
    unsigned.set_manifest(manifest)
    store = Store(tmp_path / "empty")
    found = refusal(unsigned, store, LayerBounds(inflated=1 << 20))
    assert found.code == "content-mismatch"
    assert not store.has(Digest.of(bytes(8 << 20)))


def test_entries_without_end_are_refused(unsigned, tmp_path):
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), **{f"opt/model/src/{n}": b"" for n in range(101)}}
    unsigned.set_layer(place, unsigned.pack(files))
    found = refusal(unsigned, Store(tmp_path / "empty"), LayerBounds(entries=100))
    assert (found.code, found.message) == (
        "layer-unsafe",
        "the image has more than 100 leaves and folders",
    )


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
    unsigned.set_layer(place, unsigned.pack({**unsigned.files("spec and locks"), **files}))
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
