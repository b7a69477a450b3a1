"""Referrers: manifests that say something about another (OCI distribution 1.1, "Referrers").

A Sigstore bundle is attached as cosign attaches it: ``artifactType`` and the one layer have the
bundle's media type, the configuration is the empty one, annotations tell the predicate's type.
"""

from collections.abc import Iterable

import msgspec

from mpbuild.base import canonical, epoch
from mpbuild.base.coding import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats import bundle, oci

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"


class Referrer(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An image manifest with a subject; its ``artifact_type`` says what it is."""

    schema_version: int = 2
    media_type: str = oci.MANIFEST
    artifact_type: str
    config: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]
    subject: oci.Descriptor
    annotations: dict[str, str] = {}


def attach(subject: oci.Descriptor, data: bytes, predicate_type: str) -> Referrer:
    """The manifest that attaches the bundle ``data`` to ``subject``."""
    return Referrer(
        artifact_type=bundle.MEDIA_TYPE,
        config=oci.descriptor(EMPTY_TYPE, EMPTY),
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
    """A manifest with a subject; raise InputError (bundle-malformed) on anything else."""
    try:
        referrer = typed(canonical.decode(data), Referrer)
    except InputError as error:
        raise InputError(error.findings[0].message, code="bundle-malformed") from error
    if referrer.schema_version != 2 or referrer.media_type != oci.MANIFEST:
        raise InputError(f"not a {oci.MANIFEST}", code="bundle-malformed")
    return referrer


def tag(subject: Digest) -> str:
    """The fallback tag under which a subject's referrers are listed ("Referrers Tag Schema")."""
    return f"sha256-{subject.hex}"


class Listed(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a listing says of one referrer; properties that don't matter here are let pass."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] = {}


def listed(referrer: Referrer) -> Listed:
    """The entry for a referrer: it repeats the type and the annotations."""
    data = encode(referrer)
    return Listed(
        media_type=referrer.media_type,
        digest=Digest.of(data),
        size=len(data),
        artifact_type=referrer.artifact_type,
        annotations=referrer.annotations,
    )


def listing(entries: Iterable[Listed]) -> bytes:
    """The index under the fallback tag, whatever the order of ``entries``; each stands once."""
    distinct = {entry.digest: entry for entry in entries}
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.INDEX,
            "manifests": [plain(distinct[digest]) for digest in sorted(distinct)],
        }
    )


def read_listing(data: bytes) -> tuple[Listed, ...]:
    """The referrers that a listing names; raise InputError (bundle-malformed) otherwise."""
    try:
        document = canonical.decode(data)
        if not isinstance(document, dict):
            raise InputError("not an object")
        return typed(document.get("manifests"), tuple[Listed, ...])
    except InputError as error:
        raise InputError(
            f"not a listing of referrers: {error.findings[0].message}", code="bundle-malformed"
        ) from error
