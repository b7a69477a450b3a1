"""Files that a spec names by address: how to get one that lies on a web server or in a registry.

``oci://host[:port]/repository@digest`` (OCI distribution specification 1.1) names a blob or, by the
manifest that lists it, a layer.
"""

import re
from typing import Self
from urllib.parse import urlsplit

import msgspec

from mpbuild.base import canonical
from mpbuild.base.coding import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError, WorldError
from mpbuild.effects.registry import RegistryWeb, is_local
from mpbuild.effects.request import Request

_LARGEST_MANIFEST = 4 << 20  # what registries must take ("Pushing Manifests")
_LONGEST_NAME = 255
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"oci://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)"
    rf"/({_PART}(?:/{_PART})*)@(sha256:[0-9a-f]{{64}})"
)


class Reference(msgspec.Struct, frozen=True):
    """Content of a repository, by its digest."""

    host: str
    repository: str
    digest: Digest

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raise InputError (spec-invalid) where ``url`` isn't of the one accepted form."""
        match = _REFERENCE.fullmatch(url)
        if not match or len(match[2]) > _LONGEST_NAME:
            raise InputError(
                f"no address of an artifact: {url[:200]!r}",
                hint="it is oci://host/repository@sha256:, and 64 lower-case hexadecimal digits",
            )
        return cls(match[1], match[2], Digest(match[3]))

    @property
    def manifest(self) -> str:
        """Where the registry has the manifest of this digest."""
        return f"oci://{self.host}/v2/{self.repository}/manifests/{self.digest}"

    def blob(self, digest: Digest) -> str:
        """Where the registry has a blob of this repository."""
        return f"oci://{self.host}/v2/{self.repository}/blobs/{digest}"


class _Layer(msgspec.Struct, frozen=True):
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[_Layer, ...]


def artifact_request(name: str, url: str, digest: Digest, size: int, web: RegistryWeb) -> Request:
    """How to get the file of that digest and size from ``url``; ``name`` is for messages.

    An ``oci:`` address of other content than the file is that of a manifest: it is fetched, and
    must list the file. Raises InputError (spec-invalid) at an address of another form, WorldError
    (fetch-failed, content-mismatch) at a manifest that can't be had or lists no such file.
    """
    if not url.startswith("oci:"):
        _check_address(url)
        return Request(name=name, urls=(url,), digest=digest, size=size)
    reference = Reference.parse(url)
    if reference.digest != digest:
        try:
            _check_listed(reference, digest, size, web)
        except WorldError as error:
            raise error.within(name) from error
    return Request(name=name, urls=(reference.blob(digest),), digest=digest, size=size)


def _check_address(url: str) -> None:
    try:
        scheme, host = urlsplit(url)[:2]
    except ValueError:
        scheme, host = "", ""
    if scheme != "https" and not (scheme == "http" and is_local(host)):
        raise InputError(
            f"no address of a file: {url[:200]!r}",
            hint="it starts with https://, or oci:// for a registry; http:// is for this machine",
        )


def _check_listed(reference: Reference, digest: Digest, size: int, web: RegistryWeb) -> None:
    where = reference.manifest
    data = web.read(where, limit=_LARGEST_MANIFEST)
    if Digest.of(data) != reference.digest:
        raise WorldError(
            f"its digest is {Digest.of(data)} and must be {reference.digest}",
            where=where,
            code="content-mismatch",
            hint="the registry gives another manifest than the one that was named; it is not used",
        )
    try:
        layers = typed(canonical.decode(data), _Manifest).layers
    except InputError as error:
        message = f"it is no image manifest: {error.findings[0].message}"
        raise WorldError(message, where=where, code="content-mismatch") from error
    if _Layer(digest, size) not in layers:
        raise WorldError(
            f"it lists no layer {digest} of {size} bytes",
            where=where,
            code="content-mismatch",
            hint="sha256 and size are those of the file, the digest in the address that of the "
            "file or of a manifest that lists it",
        )
