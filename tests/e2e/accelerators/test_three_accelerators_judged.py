"""A package for three accelerators is verified, derived again and written out as a whole."""

import hashlib
import json
import shutil

import pytest

ACCELERATORS = ("cpu", "cuda", "rocm")


@pytest.fixture(scope="module")
def signed(whole, tmp_path_factory):
    """A layout of the package, signed; and the public key."""
    folder = tmp_path_factory.mktemp("signed")
    assert whole.mpbuild("keygen", folder / "key").code == 0
    words = ("--sign", "--key", folder / "key.key", "--output", folder / "layout")
    assert whole.mpbuild.build(*words).digest == whole.built.digest
    return whole._replace(layout=folder / "layout"), folder / "key.pub"


@pytest.fixture
def elsewhere(whole, tmp_path):
    """mpbuild where what was built is not known."""
    return whole.mpbuild._replace(store=tmp_path / "store", state=tmp_path / "state")


def test_it_passes_with_all_that_it_is_for_and_with_its_weights_from_afar(signed, elsewhere):
    package, key = signed
    answer = elsewhere("verify", package.layout, "--key", key, "--offline")
    assert answer.code == 0, answer.json["findings"]
    assert answer.json["verdict"] == "PASSED"
    kinds = {leaf["kind"] for leaf in answer.json["leaves"]}
    assert kinds >= {"source", "spec", "lock", "runtime", "pex", "bytecode"}
    compiled = {leaf["name"] for leaf in answer.json["leaves"] if leaf["kind"] == "bytecode"}
    assert compiled == {f"{accelerator}/bytecode.tar" for accelerator in ACCELERATORS}
    assert all(leaf["vouched_by"] for leaf in answer.json["leaves"])


def test_weights_files_and_bytecode_stand_in_every_child_that_has_them(whole):
    files = {"weights/numbers": 5000, "files/labels": len("none\nsome\n")}
    (model,) = whole.blobs_of("model").values()
    for pex in (*whole.blobs_of("pex").values(), model):
        assert {path: whole.blob(pex[path]).stat().st_size for path in files} == files
    for image in whole.blobs_of("image").values():
        assert {"bytecode", "files", "weights numbers 1.0.0"} <= image.keys()


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (("pex", "cuda"), "for 'cuda' the package has 1 images and 0 PEX files"),
        (("image", "rocm"), "for 'rocm' the package has 0 images and 1 PEX files"),
        (("model", None), "the package has 0 model artifacts"),
    ],
)
def test_a_child_that_was_left_out_is_reported(signed, elsewhere, tmp_path, child, message):
    package, key = signed
    layout = tmp_path / "layout"
    shutil.copytree(package.layout, layout)
    leave_out(layout, *child)
    answer = elsewhere("verify", layout, "--key", key, "--offline")
    assert answer.code == 1
    assert answer.json["verdict"] == "FAILED"
    assert "derivation-mismatch" in answer.codes
    assert message in {finding["message"] for finding in answer.json["findings"]}
    again = elsewhere("reproduce", layout, "--offline")
    assert again.code != 0
    assert message in {finding["message"] for finding in again.json["findings"]}


def leave_out(layout, kind, accelerator):
    """Take a child out of the index, which is hashed again."""
    top = json.loads((layout / "index.json").read_bytes())
    entry, blobs = top["manifests"][0], layout / "blobs/sha256"
    index = json.loads((blobs / entry["digest"][7:]).read_bytes())
    index["manifests"] = [
        child
        for child in index["manifests"]
        if (
            child["annotations"]["dev.mpbuild.kind"],
            child["annotations"].get("dev.mpbuild.accelerator"),
        )
        != (kind, accelerator)
    ]
    data = json.dumps(index, separators=(",", ":"), sort_keys=True).encode()
    entry["digest"], entry["size"] = f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)
    (blobs / entry["digest"][7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps(top))


def test_it_is_derived_again_from_nothing_but_its_layout(whole, elsewhere):
    answer = elsewhere("reproduce", whole.layout, "--offline")
    assert answer.code == 0, answer.json
    assert answer.json["digest"] == whole.built.digest
    assert answer.json["differences"] == []
    assert answer.json["derived"]["matched"] == answer.json["derived"]["checked"] > 40


def test_a_partial_package_is_derived_again_too(whole, fresh, elsewhere, tmp_path):
    layout = tmp_path / "layout"
    part = fresh.build("--accelerator", "cuda", "--output", layout)
    answer = elsewhere("reproduce", layout, "--offline")
    assert answer.code == 0, answer.json
    assert answer.json["digest"] == part.digest != whole.built.digest


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_each_pex_is_written_out_with_its_own_wheels_and_verified(
    signed, elsewhere, tmp_path, accelerator
):
    package, key = signed
    folder = tmp_path / "pex"
    words = ("export", package.layout, "--accelerator", accelerator, "--pex", folder)
    answer = elsewhere(*words)
    assert answer.code == 0, answer.json
    assert answer.json["digest"] == package.built.child("pex", accelerator)
    own = f"engine_{accelerator}" if accelerator != "cpu" else "engine"
    names = {path.name.partition("-")[0] for path in (folder / ".deps").iterdir()}
    runtime = {"nvidia_cuda_runtime"} if accelerator == "cuda" else set()
    assert names == {"arrays", "small", own, *runtime}
    assert elsewhere("verify", folder, "--key", key).code == 0
    (folder / "files/labels").write_text("other\n")
    changed = elsewhere("verify", folder, "--key", key)
    assert changed.code == 1
    assert "content-mismatch" in changed.codes


def test_the_first_image_is_the_one_that_is_meant_without_a_word(whole, elsewhere, tmp_path):
    archive = tmp_path / "image.tar"
    answer = elsewhere("export", whole.layout, "--image", archive)
    assert answer.code == 0, answer.json
    assert answer.json["digest"] == whole.built.child("images", "cpu")
