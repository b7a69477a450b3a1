"""Public keys: one kind, compared by the digest of their DER form."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.verify.key_verifier import read_public_key

PRIVATE = ec.generate_private_key(ec.SECP256R1())
FORM = serialization.PublicFormat.SubjectPublicKeyInfo
PEM = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, FORM)
DER = PRIVATE.public_key().public_bytes(serialization.Encoding.DER, FORM)


@pytest.fixture(scope="module")
def key():
    return read_public_key(PEM, where="k.pub")


def test_fingerprint_and_hint_are_the_digest_of_the_der_form(key):
    digest = hashlib.sha256(DER)
    assert key.fingerprint == f"sha256:{digest.hexdigest()}"
    assert key.hint == base64.b64encode(digest.digest()).decode()


def test_a_signature_over_the_same_bytes_is_accepted(key):
    signature = PRIVATE.sign(b"data", ec.ECDSA(hashes.SHA256()))
    assert key.accepts(signature, b"data")
    assert not key.accepts(signature, b"other")


def test_a_signature_with_another_hash_is_not_accepted(key):
    assert not key.accepts(PRIVATE.sign(b"data", ec.ECDSA(hashes.SHA512())), b"data")


@settings(max_examples=100)
@given(st.binary(max_size=100))
def test_any_bytes_are_no_signature(data):
    assert not read_public_key(PEM, where="").accepts(data, b"data")


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_key(data):
    with pytest.raises(InputError) as caught:
        read_public_key(data, where="the file")
    assert caught.value.findings[0].code == "usage"
    assert caught.value.findings[0].where == "the file"


def test_a_private_key_is_refused_without_being_opened():
    pem = PRIVATE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(InputError, match="private key"):
        read_public_key(pem, where="k.key")
