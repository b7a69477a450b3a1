"""Signs in-toto statements: payload, DSSE envelope, Sigstore bundle."""

from typing import Protocol

from mpbuild.formats.evidence import bundle, dsse, statement
from mpbuild.formats.evidence.bundle import Bundle
from mpbuild.formats.evidence.statement import Statement


class Signer(Protocol):
    """Signs DSSE payloads: with a key, later with a short-lived certificate."""

    def sign(self, payload_type: str, payload: bytes, /) -> Bundle:
        """Signs the pre-authentication encoding of the payload (DSSE protocol 1.0).

        The bundle holds the envelope and the verification material of the signer.
        """


def signed(made: Statement, signer: Signer) -> bytes:
    """Returns the bundle, version 0.3, of a statement that ``signer`` signed."""
    return bundle.encode(signer.sign(dsse.IN_TOTO, statement.encode(made)))
