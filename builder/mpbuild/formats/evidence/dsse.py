"""DSSE envelopes: a payload with its signatures (secure-systems-lab/dsse, protocol 1.0)."""

import base64
import binascii

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

IN_TOTO = "application/vnd.in-toto+json"


class Signature(msgspec.Struct, frozen=True):
    """A signature; ``keyid`` is an unauthenticated hint."""

    sig: bytes
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """A payload, its type and its signatures."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding, the bytes that are signed ("PAE definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def strict_base64(text: object, where: str) -> bytes:
    """Decodes canonical base64 with padding; raises InputError (bundle-malformed)."""
    if not isinstance(text, str):
        raise InputError(f"{where} is not a string", code=Code.BUNDLE_MALFORMED)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where} is not base64: {error}", code=Code.BUNDLE_MALFORMED) from error
    if base64.b64encode(data).decode() != text:
        raise InputError(f"{where} is not canonical base64", code=Code.BUNDLE_MALFORMED)
    return data
