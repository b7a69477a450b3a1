"""DSSE envelopes (secure-systems-lab/dsse, protocol 1.0): what is signed, and by whom."""

import base64
import binascii

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

IN_TOTO = "application/vnd.in-toto+json"


class Signature(msgspec.Struct, frozen=True):
    """A signature in bytes; ``keyid`` is an unauthenticated hint."""

    sig: bytes
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """A payload with its type and its signatures."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed ("PAE definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def strict_base64(text: object, where: str) -> bytes:
    """Standard base64 with padding, exactly as an encoder writes it; InputError otherwise."""
    if not isinstance(text, str):
        raise InputError(f"{where} is not text", code=Code.BUNDLE_MALFORMED)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where} is not base64: {error}", code=Code.BUNDLE_MALFORMED) from error
    if base64.b64encode(data).decode() != text:
        raise InputError(f"{where} is not canonical base64", code=Code.BUNDLE_MALFORMED)
    return data
