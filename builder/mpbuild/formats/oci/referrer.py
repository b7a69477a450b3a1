"""Referrers: manifests about another manifest, their subject (OCI distribution 1.1, "Referrers").

Sigstore bundles are attached as cosign does it: ``artifactType`` and the only layer have the media
type of the bundle, the configuration is empty, and annotations have the type of the predicate.
"""

from typing import Any

import msgspec

from mpbuild.base import canonical, epoch, limits
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import bundle
from mpbuild.formats.oci import oci

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"


class Referrer(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An image manifest with a subject."""

    schema_version: int = 2
    media_type: str = oci.MANIFEST
    artifact_type: str
    config: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]
    subject: oci.Descriptor
    annotations: dict[str, str] = {}

    @property
    def bundle(self) -> oci.Descriptor:
        """The attached bundle; raises InputError (bundle-malformed) unless there is exactly one.

        Refuses an oversized bundle before it is read.
        """
        if len(self.layers) != 1 or self.layers[0].media_type != bundle.MEDIA_TYPE:
            raise InputError(
                f"a bundle has one layer of type {bundle.MEDIA_TYPE};"
                f" this manifest has {len(self.layers)} layers",
                code=Code.BUNDLE_MALFORMED,
            )
        if not 0 <= self.layers[0].size <= limits.BUNDLE_BYTES:
            raise InputError(
                f"bundle of {self.layers[0].size} bytes; at most {limits.BUNDLE_BYTES} are allowed",
                code=Code.BUNDLE_MALFORMED,
            )
        return self.layers[0]


def attach(subject: oci.Descriptor, data: bytes, predicate_type: str) -> Referrer:
    """The manifest that attaches the bundle ``data`` to ``subject``."""
    return Referrer(
        artifact_type=bundle.MEDIA_TYPE,
        config=oci.descriptor(oci.EMPTY_TYPE, oci.EMPTY),
        layers=(oci.descriptor(bundle.MEDIA_TYPE, data),),
        subject=oci.Descriptor(
            media_type=subject.media_type, digest=subject.digest, size=subject.size
        ),
        annotations={
            CONTENT: "dsse-envelope",
            PREDICATE_TYPE: predicate_type,
            "org.opencontainers.image.created": epoch.RFC3339,
        },
    )


def encode(referrer: Referrer) -> bytes:
    """The canonical bytes."""
    return canonical.encode(plain(referrer))


def read(data: bytes) -> Referrer:
    """Reads a manifest with a subject; raises InputError (bundle-malformed)."""
    try:
        referrer = typed(canonical.decode(data), Referrer)
    except InputError as error:
        raise InputError(error.findings[0].message, code=Code.BUNDLE_MALFORMED) from error
    # A document's own media type decides: an index offered as a manifest is refused.
    if referrer.schema_version != 2 or referrer.media_type != oci.MANIFEST:
        raise InputError(f"not a {oci.MANIFEST}", code=Code.BUNDLE_MALFORMED)
    return referrer


def tag(subject: Digest) -> str:
    """The fallback tag of the list of a subject's referrers ("Referrers Tag Schema")."""
    return f"sha256-{subject.hex}"


class ReferrerDescriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The relevant part of a referrer's descriptor in a list."""

    digest: Digest
    size: int


def read_listing(data: bytes) -> tuple[ReferrerDescriptor, ...]:
    """Reads the distinct referrers of a list; raises InputError (bundle-malformed)."""
    found = _listed(_manifests(data))
    return tuple({entry.digest: entry for entry in found}.values())


def listing(referrer: Referrer, known: bytes | None) -> bytes:
    """The index of the fallback tag: ``known``, if any, with ``referrer`` added.

    Its descriptor repeats type and annotations ("Referrers Tag Schema"); others are unchanged.
    Raises InputError (bundle-malformed) for a malformed ``known``.
    """
    data = encode(referrer)
    digest = str(Digest.of(data))
    entry = {
        "mediaType": referrer.media_type,
        "digest": digest,
        "size": len(data),
        "artifactType": referrer.artifact_type,
        "annotations": referrer.annotations,
    }
    others = _manifests(known) if known is not None else []
    entries = {str(one.digest): other for one, other in zip(_listed(others), others, strict=True)}
    entries[digest] = entry
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.INDEX,
            "manifests": [entries[digest] for digest in sorted(entries)],
        }
    )


def _manifests(data: bytes) -> list[Any]:
    try:
        document = canonical.decode(data)
    except InputError as error:
        raise _malformed_list(error) from error
    if not isinstance(document, dict) or not isinstance(document.get("manifests"), list):
        raise InputError("a list of referrers has no manifests", code=Code.BUNDLE_MALFORMED)
    manifests: list[Any] = document["manifests"]
    return manifests


def _listed(manifests: list[Any]) -> tuple[ReferrerDescriptor, ...]:
    try:
        return typed(manifests, tuple[ReferrerDescriptor, ...])
    except InputError as error:
        raise _malformed_list(error) from error


def _malformed_list(error: InputError) -> InputError:
    return InputError(
        f"not a list of referrers: {error.findings[0].message}", code=Code.BUNDLE_MALFORMED
    )
