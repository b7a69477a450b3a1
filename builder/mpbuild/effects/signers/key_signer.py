"""Signs with a private key on disk, and makes key pairs."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.effects.files.disk import disk_error
from mpbuild.effects.files.whole import read_whole
from mpbuild.formats.evidence import dsse
from mpbuild.formats.evidence.bundle import Bundle, key_hint


class KeySigner:
    """Signs with an ECDSA P-256 key in a PEM file (PKCS #8)."""

    def __init__(self, path: Path, passphrase: bytes | None) -> None:
        """Opens the key; raises InputError if it is another kind, or the passphrase is wrong."""
        pem = read_whole(path, limits.KEY_BYTES, str(path))
        try:
            key = serialization.load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError(
                f"cannot open the key: {error}",
                where=str(path),
                hint="set MPBUILD_KEY_PASSPHRASE for an encrypted key, and only for one",
                code=Code.USAGE,
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise InputError("not an ECDSA P-256 private key", where=str(path), code=Code.USAGE)
        self._key = key

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Signs the pre-authentication encoding of a payload (DSSE protocol 1.0)."""
        signature = dsse.Signature(self.signature(dsse.pae(payload_type, payload)))
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Bundle(dsse.Envelope(payload, payload_type, (signature,)), key_hint(public))

    def signature(self, data: bytes) -> bytes:
        """Returns an ECDSA signature with SHA-256 over ``data``, in ASN.1 DER."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def make_pair(path: Path, passphrase: bytes | None) -> tuple[Path, Path]:
    """Writes PATH.key (0600, encrypted if there is a passphrase) and PATH.pub, both new files."""
    if not path.name:
        raise InputError("not a file name", where=str(path), code=Code.USAGE)
    key = ec.generate_private_key(ec.SECP256R1())
    private_path = path.with_name(f"{path.name}.key")
    public_path = path.with_name(f"{path.name}.pub")
    private = _private_pem(key, passphrase)
    _create(private_path, private, 0o600)
    try:
        _create(public_path, _public_pem(key), 0o644)
    except BaseException:
        private_path.unlink()
        raise
    return private_path, public_path


def _private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    try:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    except ValueError as error:
        raise InputError(f"cannot encrypt with the passphrase: {error}", code=Code.USAGE) from error


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _create(path: Path, data: bytes, mode: int) -> None:
    """Writes a new file, all or nothing; never replaces a file or follows a link."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(
            "already exists", where=str(path), hint="choose another name", code=Code.USAGE
        ) from error
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise disk_error(error, path) from error
