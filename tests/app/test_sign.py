"""Signing: only what this user built, with a key that is one, beside what is attached already."""

import base64
import json
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.effects.files import user_state
from mpbuild.formats.evidence import bundle, record, statement
from mpbuild.formats.oci import oci, referrer
from mpbuild.package import referrers

PASSPHRASE = "MPBUILD_KEY_PASSPHRASE"


def private_pem(key, password=None):
    how = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        how or serialization.NoEncryption(),
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


OTHERS = {
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture
def sign(unsigned, cli):
    """``sign()``: the command over the unsigned layout."""

    def call(*words, key=None):
        return cli("sign", unsigned.folder, "--key", key or unsigned.tiny.key.private, *words)

    return call


# ---- what is attached


def test_the_provenance_is_attached_to_the_index_and_to_each_child(unsigned, sign):
    answer = sign()
    (made,) = answer.json["statements"]
    assert made["predicateType"] == statement.PROVENANCE
    children = [entry["digest"] for entry in unsigned.index["manifests"]]
    assert [s["digest"] for s in made["subject"]] == [unsigned.digest, *children]
    assert [s["name"] for s in made["subject"]] == [
        "tiny",
        "tiny:cpu",
        "tiny:pex-cpu",
        "tiny:model",
    ]
    beside = referrers.LayoutReferrers(unsigned.layout)
    for subject in made["subject"]:
        ((_, data),) = referrers.bundles(beside, Digest(subject["digest"]))
        assert Digest.of(data) == made["bundle"]


def test_the_statement_names_every_input_leaf_and_the_invocation(unsigned, sign):
    sign()
    ((_, data),) = referrers.bundles(referrers.LayoutReferrers(unsigned.layout), unsigned.digest)
    made = statement.read(bundle.read(data).envelope.payload)
    definition = made.predicate["buildDefinition"]
    named = {d["digest"].get("sha256") for d in definition["resolvedDependencies"]}
    kept = unsigned.tiny.record
    assert {d.hex for d in (*(one.digest for one in kept.inputs), *kept.leaves.values())} <= named
    assert made.predicate["runDetails"]["metadata"]["invocationId"] == kept.digest


def test_signing_again_adds_and_never_replaces(unsigned, sign, cli):
    first = sign().json["statements"][0]["bundle"]
    second = sign().json["statements"][0]["bundle"]
    third = sign(key=unsigned.tiny.other.private).json["statements"][0]["bundle"]
    found = [
        Digest.of(d)
        for _, d in referrers.bundles(referrers.LayoutReferrers(unsigned.layout), unsigned.digest)
    ]
    assert set(found) == {first, second, third}
    for key in (unsigned.tiny.key, unsigned.tiny.other):
        assert unsigned.verify(key=key.public).passed


def test_what_others_listed_stays_as_it_is(unsigned, sign):
    stranger = {
        "mediaType": "application/x-whatever",
        **unsigned.put(b"x"),
        "artifactType": "application/x-notes",
        "platform": {"architecture": "any", "os": "any"},
        "x-more": [1],
    }
    listing = canonical.encode(
        {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [stranger]}
    )
    put = unsigned.put(listing)
    with unsigned.layout.locked():
        unsigned.layout.point(referrer.tag(unsigned.digest), oci.descriptor(oci.INDEX, listing))
    assert put["digest"] == Digest.of(listing)
    assert sign().code == 0
    entry = unsigned.layout.tagged(referrer.tag(unsigned.digest))
    manifests = unsigned.document(entry.digest)["manifests"]
    assert stranger in manifests
    assert len(manifests) == 2
    assert unsigned.verify().passed


def test_the_builder_is_who_the_signer_says(unsigned, sign):
    assert sign("--builder-id", "https://ci.example/builder").code == 0
    (evidence,) = unsigned.verify().json["evidence"]
    assert evidence["builder"] == "https://ci.example/builder"


def test_a_bundle_is_one_that_cosign_reads(unsigned, sign):
    """One signature, no key id, the hint the digest of the public key."""
    sign()
    ((_, data),) = referrers.bundles(referrers.LayoutReferrers(unsigned.layout), unsigned.digest)
    document = json.loads(data)
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    (signature,) = document["dsseEnvelope"]["signatures"]
    assert signature["keyid"] == ""
    key = serialization.load_pem_public_key(unsigned.tiny.key.public.read_bytes())
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hint = base64.b64encode(bytes.fromhex(Digest.of(der).hex)).decode()
    assert document["verificationMaterial"]["publicKey"]["hint"] == hint


# ---- record-unproven


def unproven(answer):
    assert answer.code == 1
    assert answer.errors == {"record-unproven"}
    return True


def test_without_an_own_record_nothing_is_signed(unsigned, sign, monkeypatch, tmp_path):
    """Row 89."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nobody's"))
    assert unproven(sign())
    assert (
        list(referrers.bundles(referrers.LayoutReferrers(unsigned.layout), unsigned.digest)) == []
    )


def test_a_record_in_a_shared_store_proves_nothing(unsigned, sign, monkeypatch, tmp_path):
    """Row 89: wherever in the store somebody plants it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nobody's"))
    data = record.encode(unsigned.tiny.record)
    store = unsigned.tiny.store
    name = f"package-{unsigned.digest.hex}.json"
    for place in (store.path, unsigned.folder):
        for folder in (place / "records", place / "mpbuild/records"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            (folder / f"{Digest.of(data).hex}.json").write_bytes(data)
    store.put_bytes(data)
    assert unproven(sign())


def test_the_record_of_another_package_does_not_do(unsigned, sign, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    other = canonical.decode(record.encode(unsigned.tiny.record))
    other["package"] = f"sha256:{'0' * 64}"
    user_state.keep_record(canonical.encode(other), unsigned.digest)
    assert unproven(sign())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_record_does_not_do(unsigned, sign, monkeypatch, tmp_path, data):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    user_state.keep_record(data, unsigned.digest)
    assert unproven(sign())


def test_a_changed_package_has_no_record(unsigned, sign):
    config = unsigned.config()
    config["config"]["User"] = "0:0"
    unsigned.set_config(config)
    assert unproven(sign())


# ---- keys


@pytest.mark.parametrize("kind", OTHERS)
def test_a_key_of_another_kind_is_refused_for_signing_and_for_verifying(
    signed, sign, tmp_path, kind
):
    key = OTHERS[kind]()
    (tmp_path / "k.key").write_bytes(private_pem(key))
    (tmp_path / "k.pub").write_bytes(public_pem(key))
    for answer in (sign(key=tmp_path / "k.key"), signed.verify(key=tmp_path / "k.pub")):
        assert answer.code == 2
        assert "P-256" in answer.told("usage")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused(signed, sign, tmp_path, data):
    (tmp_path / "k").write_bytes(data)
    assert sign(key=tmp_path / "k").code == 2
    assert signed.verify(key=tmp_path / "k").code == 2
    assert signed.verify(key=tmp_path / "absent").code == 2
    assert signed.verify(key=tmp_path).code == 2


@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_private_key_is_not_what_verifying_takes(signed, tmp_path, password):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k.key").write_bytes(private_pem(key, password))
    answer = signed.verify(key=tmp_path / "k.key")
    assert answer.code == 2
    assert "private key" in answer.told("usage")


def test_a_public_key_does_not_sign(unsigned, sign):
    assert sign(key=unsigned.tiny.key.public).code == 2


def test_an_encrypted_key_opens_with_its_passphrase_alone(
    unsigned, sign, cli, tmp_path, monkeypatch
):
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    assert cli("keygen", tmp_path / "mine").code == 0
    assert b"ENCRYPTED" in (tmp_path / "mine.key").read_bytes()
    assert sign(key=tmp_path / "mine.key").code == 0
    assert unsigned.verify(key=tmp_path / "mine.pub").passed
    for wrong in ("wrong", ""):
        monkeypatch.setenv(PASSPHRASE, wrong)
        assert sign(key=tmp_path / "mine.key").code == 2
    monkeypatch.delenv(PASSPHRASE)
    assert sign(key=tmp_path / "mine.key").code == 2


def test_a_key_without_passphrase_refuses_one(unsigned, sign, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "secret")
    answer = sign()
    assert answer.code == 2
    assert "cannot open the key" in answer.told("usage")


def test_a_passphrase_that_is_no_utf_8_works(sign, cli, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, os.fsdecode(b"\xff\xfe"))
    assert cli("keygen", tmp_path / "mine").code == 0
    assert sign(key=tmp_path / "mine.key").code == 0


def test_a_passphrase_too_long_to_use_is_said_so(cli, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "x" * 5000)
    assert cli("keygen", tmp_path / "mine").code == 2
    assert list(tmp_path.glob("mine*")) == []


# ---- keygen


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_a_private_key_is_for_its_owner_alone_whatever_the_umask(cli, tmp_path, umask):
    old = os.umask(umask)
    try:
        answer = cli("keygen", tmp_path / "mine")
    finally:
        os.umask(old)
    assert answer.code == 0
    assert answer.json["private"] == str(tmp_path / "mine.key")
    assert stat.S_IMODE((tmp_path / "mine.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "mine.pub").stat().st_mode) == 0o644


@pytest.mark.parametrize("existing", ["mine.key", "mine.pub"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_nothing_is_ever_overwritten(cli, tmp_path, existing, kind):
    path, target = tmp_path / existing, tmp_path / "target"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
        if kind == "link":
            target.write_text("precious")
    answer = cli("keygen", tmp_path / "mine")
    assert answer.code == 2
    assert "already exists" in answer.told("usage")
    assert [p.name for p in tmp_path.glob("mine*")] == [existing], "no half of a pair stays"
    if kind in ("file", "link"):
        assert path.read_text() == "precious"
    assert not (kind == "dangling link" and target.exists())


@pytest.mark.parametrize("path", ["/", ".", ""])
def test_a_path_without_a_name_is_refused(cli, path):
    assert cli("keygen", path).code == 2


def test_a_folder_that_does_not_exist_is_reported(cli, tmp_path):
    answer = cli("keygen", tmp_path / "absent/mine")
    assert answer.code == 3
    assert "absent" in json.dumps(answer.json)


def test_two_pairs_are_never_the_same(cli, tmp_path):
    for name in ("one", "two"):
        assert cli("keygen", tmp_path / name).code == 0
    assert (tmp_path / "one.key").read_bytes() != (tmp_path / "two.key").read_bytes()
