"""Private keys on disk: making a pair, and signing with one."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.effects.files.disk import disk_error


class KeySigner:
    """Signs with an ECDSA P-256 key in a PEM file (PKCS #8)."""

    def __init__(self, path: Path, passphrase: bytes | None) -> None:
        """Raise InputError where the file is no such key, or the passphrase is not its own."""
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"the key can't be read: {error.strerror}", where=str(path), code=Code.USAGE
            ) from error
        try:
            key = serialization.load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError(
                f"the key can't be opened: {error}",
                where=str(path),
                hint="an encrypted key needs MPBUILD_KEY_PASSPHRASE, others must go without",
                code=Code.USAGE,
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise InputError("not an ECDSA P-256 private key", where=str(path), code=Code.USAGE)
        self._key = key

    @property
    def public_pem(self) -> bytes:
        """The public key, as --key of ``verify`` takes it."""
        return _public_pem(self._key)

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature with SHA-256, in ASN.1 DER."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def make_pair(path: Path, passphrase: bytes | None) -> tuple[Path, Path]:
    """Write PATH.key (0600, encrypted if there is a passphrase) and PATH.pub, over nothing."""
    if not path.name:
        raise InputError("not a file's name", where=str(path), code=Code.USAGE)
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
        raise InputError(f"the passphrase can't be used: {error}", code=Code.USAGE) from error


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _create(path: Path, data: bytes, mode: int) -> None:
    """Write a new file, whole or not at all; what stands there already stays, links included."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(
            "exists already", where=str(path), hint="choose another name", code=Code.USAGE
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
