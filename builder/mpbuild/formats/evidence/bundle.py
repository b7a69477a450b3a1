"""Sigstore bundles, version 0.3, with a DSSE envelope (sigstore/protobuf-specs, Bundle).

The strict reader that comes before any verification: readers disagree about doubled keys, loose
base64 and unknown fields, so none of these pass.
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence.dsse import Envelope, Signature, strict_base64

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Bundle(msgspec.Struct, frozen=True):
    """A signed envelope, with the hint for a public key.

    ``certificate`` marks a bundle with a certificate instead, which key-based trust can't verify.
    """

    envelope: Envelope
    key_hint: str
    certificate: bool = False


def key_hint(der: bytes) -> str:
    """The hint for a public key: base64 of the SHA-256 of its SubjectPublicKeyInfo in DER."""
    return base64.b64encode(bytes.fromhex(Digest.of(der).hex)).decode()


def encode(bundle: Bundle) -> bytes:
    """The canonical JSON of a bundle with a public key hint, without log entries and timestamps."""
    (signature,) = bundle.envelope.signatures
    return canonical.encode(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": bundle.key_hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(bundle.envelope.payload).decode(),
                "payloadType": bundle.envelope.payload_type,
                "signatures": [
                    {"sig": base64.b64encode(signature.sig).decode(), "keyid": signature.keyid}
                ],
            },
        }
    )


def read(data: bytes) -> Bundle:
    """Reads a bundle; raises InputError (bundle-malformed, signature-missing)."""
    if len(data) > limits.BUNDLE_BYTES:
        raise _malformed(f"larger than {limits.BUNDLE_BYTES} bytes")
    if max(data.count(mark) for mark in (b"{", b"[", b":")) > limits.BUNDLE_VALUES:
        raise _malformed(f"more than {limits.BUNDLE_VALUES} JSON values")
    try:
        document = canonical.decode(data)
    except InputError as error:
        raise _malformed(error.findings[0].message[:200]) from error
    fields = _object(document, "the bundle")
    _keys(fields, "the bundle", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if fields["mediaType"] != MEDIA_TYPE:
        raise _malformed(f"mediaType is {fields['mediaType']!r:.80}, not {MEDIA_TYPE}")
    hint, certificate = _material(fields["verificationMaterial"])
    return Bundle(_envelope(fields["dsseEnvelope"]), hint, certificate)


def _material(value: Any) -> tuple[str, bool]:
    material = _object(value, "verificationMaterial")
    ways = material.keys() & {"publicKey", "certificate", "x509CertificateChain"}
    unknown = material.keys() - ways - {"tlogEntries", "timestampVerificationData"}
    if unknown:
        raise _malformed(f"verificationMaterial has an unknown key {min(unknown)!r:.80}")
    if len(ways) != 1:
        raise _malformed("verificationMaterial must have either publicKey or a certificate")
    if not isinstance(material.get("tlogEntries", []), list):
        raise _malformed("tlogEntries is not a list")
    if "publicKey" not in ways:
        return "", True
    key = _object(material["publicKey"], "publicKey")
    _keys(key, "publicKey", set(), optional={"hint"})
    hint = key.get("hint", "")
    if not isinstance(hint, str):
        raise _malformed("the hint of publicKey is not a string")
    return hint, False


def _envelope(value: Any) -> Envelope:
    fields = _object(value, "dsseEnvelope")
    _keys(fields, "dsseEnvelope", {"payload", "payloadType", "signatures"})
    if not isinstance(fields["payloadType"], str):
        raise _malformed("payloadType is not a string")
    signatures = fields["signatures"]
    if not isinstance(signatures, list):
        raise _malformed("signatures is not a list")
    if not signatures:
        raise InputError("the envelope has no signature", code=Code.SIGNATURE_MISSING)
    if len(signatures) != 1:
        raise _malformed(f"the envelope has {len(signatures)} signatures, not one")
    return Envelope(
        strict_base64(fields["payload"], "payload"),
        fields["payloadType"],
        tuple(_signature(signature) for signature in signatures),
    )


def _signature(value: Any) -> Signature:
    fields = _object(value, "a signature")
    _keys(fields, "a signature", {"sig"}, optional={"keyid"})
    keyid = fields.get("keyid", "")
    if not isinstance(keyid, str):
        raise _malformed("keyid is not a string")
    sig = strict_base64(fields["sig"], "sig")
    if not sig:
        raise InputError("the signature is empty", code=Code.SIGNATURE_MISSING)
    return Signature(sig, keyid)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(f"{where} is not an object")
    return value


def _keys(
    fields: Mapping[str, Any], where: str, needed: set[str], optional: set[str] | None = None
) -> None:
    missing = needed - fields.keys()
    unknown = fields.keys() - needed - (optional or set())
    if missing:
        raise _malformed(f"{where} has no {min(missing)}")
    if unknown:
        raise _malformed(f"{where} has an unknown key {min(unknown)!r:.80}")


def _malformed(problem: str) -> InputError:
    return InputError(problem, code=Code.BUNDLE_MALFORMED, hint="sign the package again")
