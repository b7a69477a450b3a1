"""Finds files that a spec names by URL: on a web server, or in a registry as a blob or a layer.

A reference with a digest names a blob or, by its manifest, a layer; one with a tag names the
manifest that has the tag now.
"""

import posixpath
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.http.transport import MissingError
from mpbuild.effects.registry.authentication import is_local
from mpbuild.effects.registry.reference import RegistryReference
from mpbuild.formats.oci.annotations import TITLE
from mpbuild.formats.oci.modelpack import FILEPATH, Role

_ACCEPTED = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*"
)
_SHOWN_DIGESTS = 5


class RegistryFile(msgspec.Struct, frozen=True):
    """A file in a registry: a reference by digest that leads to it, its digest and its size."""

    reference: RegistryReference
    sha256: Digest
    size: int


class _Layer(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=limits.JSON_INTEGER)]
    media_type: str = ""
    annotations: dict[str, str] = {}

    def is_called(self, name: str) -> bool:
        """Whether its file has that name, in any folder."""
        paths = (self.annotations.get(key, "") for key in (TITLE, FILEPATH))
        return name in map(posixpath.basename, paths)


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[_Layer, ...]


class Registries:
    """Finds artifacts; resolves each tag once, so that every reference to it gets the same."""

    def __init__(self, web: HttpClient) -> None:
        self._web = web
        self._tagged: dict[str, bytes] = {}

    def current(self, reference: RegistryReference) -> Digest:
        """Returns the digest that the tag names now; raises EnvironmentFailureError."""
        return Digest.of(self._read_tagged(reference))

    def find(self, name: str, reference: RegistryReference, sha256: Digest | None) -> RegistryFile:
        """Finds the file that ``reference`` leads to; fetches nothing but its manifest.

        Of several layers it is the one with that ``sha256``; without it, the only one with the file
        name ``name``, or the only one whose media type is weights. Raises EnvironmentFailureError
        (fetch-failed, content-mismatch), and InputError (spec-invalid) if it is ambiguous.
        """
        try:
            return self._find(name, reference, sha256)
        except (InputError, EnvironmentFailureError) as error:
            raise error.within(name) from error

    def _find(self, name: str, reference: RegistryReference, sha256: Digest | None) -> RegistryFile:
        if reference.digest is None:
            data = self._read_tagged(reference)
            reference = reference.at(Digest.of(data))
        else:
            try:
                data = _read_manifest(reference, self._web)
            except MissingError:
                return self._blob(reference, reference.digest, sha256)
        layer = _chosen(_layers(data, reference.manifest_url), name, sha256, reference.manifest_url)
        return RegistryFile(reference, Digest(layer.digest), layer.size)

    def _blob(
        self, reference: RegistryReference, digest: Digest, sha256: Digest | None
    ) -> RegistryFile:
        size = self._web.size(reference.blob_url(digest))
        if sha256 not in (None, digest):
            raise EnvironmentFailureError(
                f"the reference is to a blob with another digest than {sha256}",
                where=str(reference),
                code=Code.CONTENT_MISMATCH,
            )
        return RegistryFile(reference, digest, size)

    def _read_tagged(self, reference: RegistryReference) -> bytes:
        url = reference.tag_url
        if url not in self._tagged:
            self._tagged[url] = self._web.read(
                url, limit=limits.REGISTRY_MANIFEST_BYTES, accept=_ACCEPTED
            )
        return self._tagged[url]


def artifact_request(
    name: str, url: str, digest: Digest, size: int, web: HttpClient
) -> FileRequest:
    """Returns the request for the file with that digest and size; ``name`` is for messages.

    If a registry reference has another digest than the file, it is that of a manifest, which is
    fetched and must list the file. Raises InputError (spec-invalid) for an invalid URL, and
    EnvironmentFailureError (fetch-failed, content-mismatch) if the manifest is not available or
    does not list the file.
    """
    if not url.startswith("oci:"):
        _check_address(url)
        return FileRequest(name=name, urls=(url,), digest=digest, size=size)
    reference = RegistryReference.parse(url)
    if reference.digest is None:
        raise InputError(f"the tag is not pinned to a digest: {url}", hint="run `mpbuild lock`")
    if reference.digest != digest:
        try:
            _check_listed(reference, digest, size, web)
        except EnvironmentFailureError as error:
            raise error.within(name) from error
    return FileRequest(name=name, urls=(reference.blob_url(digest),), digest=digest, size=size)


def _check_address(url: str) -> None:
    try:
        scheme, host = urlsplit(url)[:2]
    except ValueError:
        scheme, host = "", ""
    if scheme != "https" and not (scheme == "http" and is_local(host)):
        raise InputError(
            f"not a valid URL of a file: {url[:200]!r}",
            hint="it starts with https://, or oci:// for a registry; http:// is for this machine",
        )


def _check_listed(reference: RegistryReference, digest: Digest, size: int, web: HttpClient) -> None:
    where = reference.manifest_url
    layers = _layers(_read_manifest(reference, web), where)
    if (digest, size) not in [(layer.digest, layer.size) for layer in layers]:
        raise EnvironmentFailureError(
            f"the manifest lists no layer {digest} of {size} bytes",
            where=where,
            code=Code.CONTENT_MISMATCH,
            hint="sha256 and size are those of the file; the digest in the reference is that of the"
            " file, or of a manifest that lists it",
        )


def _read_manifest(reference: RegistryReference, web: HttpClient) -> bytes:
    where = reference.manifest_url
    data = web.read(where, limit=limits.REGISTRY_MANIFEST_BYTES, accept=_ACCEPTED)
    if Digest.of(data) != reference.digest:
        raise EnvironmentFailureError(
            f"the manifest's digest is {Digest.of(data)}; expected {reference.digest}",
            where=where,
            code=Code.CONTENT_MISMATCH,
            hint="the registry sent another manifest; it was discarded",
        )
    return data


def _layers(data: bytes, where: str) -> tuple[_Layer, ...]:
    try:
        return typed(canonical.decode(data), _Manifest).layers
    except InputError as error:
        raise EnvironmentFailureError(
            f"not an image manifest: {error.findings[0].message}",
            where=where,
            hint="of an index, name one manifest by its digest",
            code=Code.CONTENT_MISMATCH,
        ) from error


def _chosen(layers: Sequence[_Layer], name: str, sha256: Digest | None, where: str) -> _Layer:
    if sha256 is not None:
        layers = [layer for layer in layers if layer.digest == sha256]
        if not layers:
            message = f"the manifest lists no layer {sha256}"
            raise EnvironmentFailureError(message, where=where, code=Code.CONTENT_MISMATCH)
    called = [layer for layer in layers if layer.is_called(name)]
    weights = [layer for layer in layers if layer.media_type == Role.WEIGHTS]
    for among in (layers, called, weights):
        if len({layer.digest for layer in among}) == 1:
            return among[0]
    digests = ", ".join(layer.digest for layer in layers[:_SHOWN_DIGESTS])
    raise InputError(
        f"the manifest lists {len(layers)} layers; none alone is named {name} or is weights",
        where=where,
        hint=f"add the sha256 of the right one beside the url: {digests}",
    )
