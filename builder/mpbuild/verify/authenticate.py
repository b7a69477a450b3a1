"""Authenticates a bundle: who signed which statement (DSSE protocol 1.0; in-toto Statement v1)."""

from typing import Protocol

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle as bundles
from mpbuild.formats.evidence import dsse, statement
from mpbuild.formats.evidence.bundle import Bundle
from mpbuild.formats.evidence.statement import Statement


class SignatureVerifier(Protocol):
    """Decides which signers are trusted: by public keys, later by certificate identities."""

    def verify(self, bundle: Bundle, /) -> str:
        """Returns the name of the trusted signer of the envelope.

        Raises InputError (signer-unknown, signature-invalid) if no trusted signer signed it.
        """


class Evidence(msgspec.Struct, frozen=True):
    """An authenticated statement, its signer, and the digest of the bundle that holds it."""

    statement: Statement
    signer: str
    digest: Digest


def authenticate(data: bytes, verifier: SignatureVerifier) -> Evidence:
    """Authenticates the bundle in ``data``.

    No field is used before the steps that make it trustworthy. Raises InputError whose code names
    the failed step.
    """
    # 1. Parse the bundle (sigstore/protobuf-specs, Bundle v0.3).
    bundle = bundles.read(data)
    # 2. Check the payload type, which the signature covers (DSSE protocol, "Signature Definition").
    if bundle.envelope.payload_type != dsse.IN_TOTO:
        raise InputError(
            f"unexpected payload type {bundle.envelope.payload_type[:80]!r}; expected"
            f" {dsse.IN_TOTO}",
            code=Code.PAYLOAD_TYPE,
        )
    # 3. Verify the signature over the pre-authentication encoding (DSSE protocol, "Protocol").
    signer = verifier.verify(bundle)
    # 4. Only then parse the payload (in-toto attestation framework, "Statement v1").
    return Evidence(statement.read(bundle.envelope.payload), signer, Digest.of(data))
