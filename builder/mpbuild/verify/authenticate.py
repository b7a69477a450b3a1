"""From a bundle to evidence: who signed which statement (DSSE protocol, then Statement v1)."""

from collections.abc import Sequence

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle as bundles
from mpbuild.formats.evidence import dsse, statement
from mpbuild.formats.evidence.bundle import Bundle
from mpbuild.formats.evidence.statement import Statement
from mpbuild.verify.public_keys import PublicKey


class Evidence(msgspec.Struct, frozen=True):
    """A statement whose signature is good: the bundle's digest, and the key that made it."""

    statement: Statement
    signer: PublicKey
    digest: Digest


def examine(data: bytes, keys: Sequence[PublicKey]) -> Evidence:
    """Evidence by one of ``keys``; raise InputError whose code says why it is none.

    In the order in which a field may be believed: the form of the bundle, the payload's type,
    the signature, and only then the payload.
    """
    found = bundles.read(data)
    if found.envelope.payload_type != dsse.IN_TOTO:
        raise InputError(
            f"its payload is {found.envelope.payload_type[:80]!r}, not {dsse.IN_TOTO}",
            code=Code.PAYLOAD_TYPE,
        )
    signer = _signer(found, keys)
    return Evidence(statement.read(found.envelope.payload), signer, Digest.of(data))


def _signer(found: Bundle, keys: Sequence[PublicKey]) -> PublicKey:
    """The key that made the signature; the hint only decides how a failure is told."""
    if found.certificate:
        raise InputError(
            "it is signed with a certificate, and a key was given",
            code=Code.SIGNER_UNKNOWN,
            hint="verify it by identity",
        )
    (signature,) = found.envelope.signatures
    signed = dsse.pae(found.envelope.payload_type, found.envelope.payload)
    for key in keys:
        if key.accepts(signature.sig, signed):
            return key
    if any(found.key_hint == key.hint for key in keys):
        raise InputError("its signature is not that of its payload", code=Code.SIGNATURE_INVALID)
    raise InputError(
        "it is signed with another key",
        code=Code.SIGNER_UNKNOWN,
        hint="give the signer's public key with --key",
    )
