"""Public keys: ECDSA P-256 with SHA-256, as stock cosign uses them."""

import base64
import re

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

# A SubjectPublicKeyInfo (RFC 5480) of a P-256 key is this, followed by the uncompressed point.
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)-----END PUBLIC KEY-----\n?")


class PublicKey(msgspec.Struct, frozen=True):
    """A key by its point on the curve, in the uncompressed form (SEC 1, section 2.3.3)."""

    point: bytes

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo (RFC 5280)."""
        return _P256 + self.point

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
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.point)
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
            code=Code.USAGE,
        )
    return _usual(pem) or _any(pem, where)


def _usual(pem: bytes) -> PublicKey | None:
    """A key written as everybody writes it, without the slow import that knows all other forms."""
    match = _PEM.fullmatch(pem)
    try:
        der = base64.b64decode(match[1].replace(b"\n", b""), validate=True) if match else b""
        if not der.startswith(_P256):
            return None
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), der[len(_P256) :])
    except ValueError:
        return None
    return PublicKey(der[len(_P256) :])


def _any(pem: bytes, where: str) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"not a PEM public key: {error}",
            where=where,
            hint="`mpbuild keygen PATH` makes PATH.pub; --key takes that file",
            code=Code.USAGE,
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError("not an ECDSA P-256 key", where=where, code=Code.USAGE)
    form = serialization.PublicFormat.UncompressedPoint
    return PublicKey(key.public_bytes(serialization.Encoding.X962, form))
