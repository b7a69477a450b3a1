"""Looking into a package: children, blobs, what they share, what another version has too."""

import pytest


@pytest.fixture
def inspect(cli, unsigned):
    return lambda *words: cli("inspect", unsigned.folder, *words).json


def test_children_stand_in_the_order_of_the_index_with_their_blobs(inspect, unsigned):
    found = inspect()
    assert [(c["kind"], c["accelerator"]) for c in found["children"]] == [
        ("image", "cpu"),
        ("pex", "cpu"),
        ("model", ""),
    ]
    for child, entry in zip(found["children"], unsigned.index["manifests"], strict=True):
        manifest = unsigned.document(entry["digest"])
        assert child["digest"] == entry["digest"]
        assert [layer["digest"] for layer in child["layers"]] == [
            layer["digest"] for layer in manifest["layers"]
        ]


def test_titles_are_layers_for_people_and_paths_of_files(inspect):
    image, pex, model = inspect()["children"]
    assert "weights numbers 1.0.0" in [layer["title"] for layer in image["layers"]]
    assert "weights/numbers" in [layer["title"] for layer in pex["layers"]]
    assert "dossier/model.json" in [layer["title"] for layer in model["layers"]]


def test_what_several_children_hold_is_shared_and_counts_once(inspect):
    found = inspect()
    shared = {layer["title"] for c in found["children"] for layer in c["layers"] if layer["shared"]}
    assert {"code", "code.tar.gz", "weights/numbers", "spec.json", "pylock.cpu.toml"} <= shared
    assert "numpy 2.0" not in shared
    assert found["size"] < sum(child["size"] for child in found["children"])


def test_another_version_shares_what_did_not_change(inspect, unsigned, rebuild):
    def other_code(root):
        (root / "models/tiny/src/tiny/model.py").write_text("class Model: pass\n")

    other = rebuild(other_code)
    found = inspect("--against", other.folder)
    assert found["other"]["digest"] == other.digest
    same = {layer["title"]: layer["same"] for c in found["children"] for layer in c["layers"]}
    assert same["weights numbers 1.0.0"]
    assert not same["code"]
    assert found["other"]["same"] > found["other"]["new"] > 0


def test_a_package_against_itself_is_all_the_same(inspect, unsigned):
    other = inspect("--against", unsigned.folder)["other"]
    assert other["new"] == 0


def test_what_is_attached_is_listed_with_its_type(cli, signed):
    found = cli("inspect", signed.folder).json
    types = [one["type"] for one in found["referrers"] if one["subject"] == signed.digest]
    assert sorted(types) == [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.mpbuild.inputs.v1",
    ]


def test_people_see_sizes_marks_and_digests(signed, capfdbinary):
    from mpbuild.cli.root import run

    assert run(["--store", str(signed.tiny.store.path), "inspect", str(signed.folder)]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert f"tiny 1.0.0  {signed.digest}" in text
    assert "* " in text
    assert "attached " in text
