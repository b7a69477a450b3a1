"""Inputs are what the locks name, and what a store says is no evidence."""

import json
import shutil

import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult, Output

LOCK = "opt/model/locks/pylock.cpu.toml"


@pytest.fixture
def fresh(tmp_path):
    """The path of a store that holds nothing."""
    return tmp_path / "fresh store"


def without_inputs(attack):
    """Take what locks name out of the layout: who pushed it may have left it out."""
    for manifest in (*attack.index["manifests"], *attack.listing["manifests"]):
        for layer in attack.document(manifest["digest"])["layers"]:
            title = layer.get("annotations", {}).get("org.opencontainers.image.title", "")
            if title.endswith((".whl", ".deb")):
                attack.layout.blob(Digest(layer["digest"])).unlink(missing_ok=True)


def test_offline_an_input_that_is_not_here_is_missing_content(signed, cli, fresh):
    without_inputs(signed)
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
    without_inputs(signed)
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "index").as_uri())
    monkeypatch.setenv("MPBUILD_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    text = signed.files("spec and locks")["opt/model/locks/debian.cpu.toml"].decode()
    deb = signed.tiny.store.read(Digest.from_hex(text.split('sha256 = "')[1][:64]))
    Store(fresh).put_bytes(deb)
    answer = cli("verify", signed.folder, "--key", signed.tiny.key.public, store=fresh)
    assert answer.failed_with("content-missing")
    assert "numpy-2.0-py3-none-any.whl" in answer.told("content-missing")


def test_a_package_brings_its_inputs_along(signed, cli, fresh):
    """Mirrors delete what is superseded: a verifier years later has the package alone."""
    words = ("verify", signed.folder, "--key", signed.tiny.key.public, "--offline")
    assert cli(*words, store=fresh).passed


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


def poisoned(attack, store):
    """Facts in ``store`` that would make the layers of ``attack`` the right ones."""
    layers, diff_ids = attack.rows()
    for path in (store.path / "derived").iterdir():
        action = msgspec.convert(
            json.loads(path.read_bytes()), Action, dec_hook=lambda kind, value: kind(value)
        )
        for layer, diff_id in zip(layers, diff_ids, strict=True):
            output = Output(Digest(layer["digest"]), layer["size"], Digest(diff_id))
            result = ActionResult(outputs={"layer": output, "needs": output}, sandboxed=True)
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
    unsigned.set_layer(place, unsigned.pack(files))
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
    unsigned.set_layer(place, unsigned.pack({"opt/venv/x.py": b"import evil\n"}))
    unsigned.sign()
    for path in unsigned.blobs:
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
