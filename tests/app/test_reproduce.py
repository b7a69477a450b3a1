"""Reproducing: derived again from nothing but the package, or told where it differs."""

import json
import shutil

import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.derive import inputs_artifact
from mpbuild.formats.oci import oci, referrer
from mpbuild.package import referrers

LABEL = Label("//models/tiny")


@pytest.fixture
def reproduce(cli, tmp_path):
    """Reproduce a layout with an empty store."""

    def call(attack, *words):
        return cli("reproduce", attack.folder, "--offline", *words, store=tmp_path / "empty")

    return call


def inputs_manifest(attack):
    (entry,) = [
        e for e in attack.listing["manifests"] if e["artifactType"] == inputs_artifact.ARTIFACT
    ]
    return entry, attack.document(entry["digest"])


def test_a_package_gives_itself_again_without_key_network_or_store(unsigned, reproduce):
    answer = reproduce(unsigned)
    assert answer.code == 0, answer.json
    assert answer.json["digest"] == unsigned.digest
    derived = answer.json["derived"]
    assert derived["checked"] == derived["matched"] > 15
    assert answer.json["steps"] == {"checked": 0, "matched": 0}
    assert answer.json["differences"] == []
    assert any("--rebuild" in remark for remark in answer.json["unchecked"])


def test_every_derived_blob_of_the_package_is_counted_once(unsigned, reproduce):
    """Inputs, leaves and sources are no derived blobs; all else in the index's reach is."""
    package = {unsigned.digest}
    for child in unsigned.index["manifests"]:
        manifest = unsigned.document(child["digest"])
        layers = [
            layer
            for layer in manifest["layers"]
            if layer["mediaType"] == oci.LAYER_GZIP
            or layer["annotations"]["org.opencontainers.image.title"].startswith("dossier/")
            or layer["annotations"]["org.opencontainers.image.title"]
            in ("PEX-INFO", "__main__.py", "__pex__/__init__.py")
        ]
        package |= {child["digest"], manifest["config"]["digest"]}
        package |= {layer["digest"] for layer in layers}
    assert reproduce(unsigned).json["derived"]["checked"] == len(package)


def test_a_changed_layer_is_a_difference_with_both_digests(unsigned, reproduce):
    place, _ = unsigned.layer("numpy")
    blob = unsigned.pack({"opt/venv/evil.py": b"evil"})
    before = unsigned.manifest()["layers"][place]["digest"]
    unsigned.set_layer(place, blob)
    answer = reproduce(unsigned)
    assert answer.code == 1
    pairs = [(d["expected"], d["actual"]) for d in answer.json["differences"]]
    assert (before, str(Digest.of(blob))) in pairs
    assert answer.json["derived"]["matched"] < answer.json["derived"]["checked"]


@pytest.mark.parametrize("child", [1, 2])
def test_a_changed_file_of_an_artifact_is_a_difference_with_its_path(unsigned, reproduce, child):
    index = unsigned.index
    manifest = unsigned.document(index["manifests"][child]["digest"])
    layer = next(
        one
        for one in manifest["layers"]
        if one["annotations"]["org.opencontainers.image.title"] in ("PEX-INFO", "spec.json")
    )
    title = layer["annotations"]["org.opencontainers.image.title"]
    layer |= unsigned.put(unsigned.layout.read(Digest(layer["digest"])) + b" ")
    index["manifests"][child] |= unsigned.put(canonical.encode(manifest))
    unsigned.set_index(index)
    answer = reproduce(unsigned)
    assert answer.code in (1, 2)
    told = json.dumps(answer.json["findings"])
    assert title in told or "derivation-mismatch" in told or "content-mismatch" in told


def test_a_package_that_lacks_a_part_is_none(unsigned, reproduce):
    index = unsigned.index
    index["manifests"].pop(1)
    unsigned.set_index(index)
    answer = reproduce(unsigned)
    assert answer.code == 2
    assert "derivation-mismatch" in answer.errors


def test_without_its_inputs_artifact_a_package_is_not_built_again(unsigned, reproduce):
    unsigned.set_listing({"manifests": []})
    answer = reproduce(unsigned, "--rebuild")
    assert answer.code == 2
    assert "no inputs artifact" in answer.told("content-missing")


def test_the_inputs_artifact_holds_what_the_package_does_not(unsigned):
    _, manifest = inputs_manifest(unsigned)
    titles = [one["annotations"]["org.opencontainers.image.title"] for one in manifest["layers"]]
    assert titles == [
        "debian/python3.11-minimal_3.11.2-6_amd64.deb",
        "locks/debian.toolchain.toml",
        "locks/pylock.toolchain.toml",
        "steps.json",
        "wheels/pex-2.0-py3-none-any.whl",
    ]
    assert manifest["subject"]["digest"] == unsigned.digest


STEPS = {
    "no document": b"",
    "another version": b'{"schema":"mpbuild.steps/9","steps":{}}',
    "a step that it has no layer of": canonical.encode(
        {
            "schema": "mpbuild.steps/1",
            "steps": {
                "train": {
                    "folder": "m",
                    "files": [{"path": "m/x", "digest": f"sha256:{'0' * 64}", "executable": False}],
                }
            },
        }
    ),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_changed_inputs_artifact_is_reported_before_anything_runs(unsigned, reproduce, what):
    entry, manifest = inputs_manifest(unsigned)
    (steps,) = [
        layer
        for layer in manifest["layers"]
        if layer["annotations"]["org.opencontainers.image.title"] == "steps.json"
    ]
    steps |= unsigned.put(STEPS[what])
    changed = {**entry, **unsigned.put(canonical.encode(manifest))}
    unsigned.set_listing({"manifests": [changed]})
    answer = reproduce(unsigned, "--rebuild")
    assert answer.code == 2
    assert answer.errors <= {"content-mismatch", "content-missing", "derivation-mismatch"}


def test_an_inputs_artifact_of_another_package_is_none(unsigned, reproduce):
    entry, manifest = inputs_manifest(unsigned)
    manifest["subject"]["digest"] = f"sha256:{'0' * 64}"
    changed = {**entry, **unsigned.put(canonical.encode(manifest))}
    unsigned.set_listing({"manifests": [changed]})
    assert "no inputs artifact" in reproduce(unsigned, "--rebuild").told("content-missing")


def test_the_store_of_who_built_it_reproduces_by_digest(tiny, cli):
    answer = cli("reproduce", tiny.digest, "--offline")
    assert answer.code == 0
    assert answer.json["derived"]["matched"] == answer.json["derived"]["checked"]


def test_the_listing_of_a_layout_names_the_inputs_artifact_by_its_type(unsigned):
    entry, _ = inputs_manifest(unsigned)
    assert referrer.tag(unsigned.digest) in {
        one["annotations"].get(oci.REF_NAME)
        for one in json.loads((unsigned.folder / "index.json").read_bytes())["manifests"]
    }
    assert entry["mediaType"] == oci.MANIFEST


def test_of_two_builds_of_one_package_the_last_ones_inputs_count(
    tiny, tmp_path, monkeypatch, build_again
):
    """What a layout holds must not depend on what the store has seen before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of this build"))
    (digest,) = [
        d for d, _ in referrers.inputs_artifacts(referrers.StoreReferrers(tiny.store), tiny.digest)
    ]
    manifest = referrer.read(tiny.store.read(digest))
    earlier = referrer.encode(msgspec.structs.replace(manifest, layers=manifest.layers[1:]))
    tiny.store.refer(tiny.digest, tiny.store.put_bytes(earlier))
    shutil.rmtree(tiny.store.path / "last")
    (tiny.store.path / "last").mkdir()
    result = build_again(tiny.workspace, tiny.store)
    assert result.package.digest == tiny.digest
    assert [
        d for d, _ in referrers.inputs_artifacts(referrers.StoreReferrers(tiny.store), tiny.digest)
    ] == [digest]
