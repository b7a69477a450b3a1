"""Public keys as trust anchors: ECDSA P-256 with SHA-256, as stock cosign uses them."""

from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import dsse
from mpbuild.formats.evidence.bundle import Bundle, key_hint


class PublicKey(msgspec.Struct, frozen=True):
    """A P-256 public key by its point in uncompressed form (SEC 1, section 2.3.3)."""

    point: bytes

    @property
    def der(self) -> bytes:
        """The SubjectPublicKeyInfo (RFC 5480) in DER."""
        return self._key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the DER form, for people to compare."""
        return str(Digest.of(self.der))

    @property
    def hint(self) -> str:
        """The hint for this key in a bundle."""
        return key_hint(self.der)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Whether the private key made ``signature`` (ASN.1 DER) over ``data``."""
        try:
            self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    @property
    def _key(self) -> ec.EllipticCurvePublicKey:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.point)


class KeyVerifier:
    """Trusts signatures by any of some public keys; a signer's name is its key's fingerprint."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = tuple(keys)

    def verify(self, bundle: Bundle) -> str:
        """Returns the fingerprint of the key that verifies the signature.

        The bundle's key hint is untrusted: it only selects the error.
        """
        if bundle.certificate:
            raise InputError(
                "signed with a certificate, but only a public key is trusted",
                code=Code.SIGNER_UNKNOWN,
                hint="give the public key of a signer who signs with a key",
            )
        (signature,) = bundle.envelope.signatures
        signed = dsse.pae(bundle.envelope.payload_type, bundle.envelope.payload)
        for key in self._keys:
            if key.accepts(signature.sig, signed):
                return key.fingerprint
        if any(bundle.key_hint == key.hint for key in self._keys):
            raise InputError(
                "the signature does not match its payload", code=Code.SIGNATURE_INVALID
            )
        raise InputError(
            "signed with another key",
            code=Code.SIGNER_UNKNOWN,
            hint="give the signer's public key with --key",
        )


def read_public_key(pem: bytes, *, where: str) -> PublicKey:
    """Reads a PEM public key; raises InputError if it is not an ECDSA P-256 key."""
    if b"PRIVATE KEY-----" in pem:
        raise InputError(
            "a private key, which only its owner may have",
            where=where,
            hint="--key of `verify` takes the public key beside it, PATH.pub",
            code=Code.USAGE,
        )
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
