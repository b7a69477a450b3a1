"""Public keys: ECDSA P-256 with SHA-256, as stock cosign uses them."""

import base64

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError


class PublicKey(msgspec.Struct, frozen=True):
    """A key by its DER form (SubjectPublicKeyInfo, RFC 5280)."""

    der: bytes

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the DER form: what people compare."""
        return str(Digest.of(self.der))

    @property
    def hint(self) -> str:
        """What a bundle says of the key that made it: base64 of the digest of the DER form."""
        return base64.b64encode(bytes.fromhex(Digest.of(self.der).hex)).decode()

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` (ASN.1 DER) over ``data`` was made by the private key."""
        key = serialization.load_der_public_key(self.der)
        assert isinstance(key, ec.EllipticCurvePublicKey), "checked when read"
        try:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def read_public_key(pem: bytes, *, where: str) -> PublicKey:
    """A PEM public key; raise InputError where it is none, or not of the one accepted kind."""
    if b"PRIVATE KEY-----" in pem:
        raise InputError(
            "a private key, which nobody but its owner may have",
            where=where,
            hint="--key of `verify` takes the public key beside it, PATH.pub",
            code="usage",
        )
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"not a PEM public key: {error}",
            where=where,
            hint="`mpbuild keygen PATH` makes PATH.pub; --key takes that file",
            code="usage",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError("not an ECDSA P-256 key", where=where, code="usage")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return PublicKey(key.public_bytes(serialization.Encoding.DER, form))
