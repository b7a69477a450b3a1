"""A good package passes by every way to name it, and verifying leaves the machine alone."""

import shutil
import sys

from mpbuild.base import canonical
from mpbuild.base.digest import Digest


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
    assert {kind for kind, _ in listed} == {"lock", "pex", "runtime", "source", "spec"}
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
    assert "no trusted signer" in answer.told("usage")


def watched_tree(folder):
    return {
        path.relative_to(folder): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
    }


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
