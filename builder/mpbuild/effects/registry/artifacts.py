"""Files that a spec names by address: how to get one that lies on a web server or in a registry.

``oci://host[:port]/repository`` (OCI distribution specification 1.1) with ``@digest`` names a blob
or, by the manifest that lists it, a layer; with ``:tag``, what the registry has under it now.
"""

import posixpath
import re
from collections.abc import Sequence
from typing import Annotated, Self
from urllib.parse import urlsplit

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.client import MissingError
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.registry.client import RegistryWeb, is_local
from mpbuild.formats.oci.annotations import TITLE
from mpbuild.formats.oci.modelpack import FILEPATH, Role

_LARGEST_MANIFEST = 4 << 20  # what registries must take ("Pushing Manifests")
_LONGEST_NAME = 255
_MOST_NAMED = 5
_MOST = 2**53 - 1  # what a spec can say of a size
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"oci://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)"
    rf"/({_PART}(?:/{_PART})*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?"
    r"(?:@(sha256:[0-9a-f]{64}))?"
)


class RegistryReference(msgspec.Struct, frozen=True):
    """Content of a repository, by its digest, by a tag, or by both: then the digest counts."""

    host: str
    repository: str
    digest: Digest | None
    tag: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raise InputError (spec-invalid) where ``url`` isn't of the one accepted form."""
        match = _REFERENCE.fullmatch(url)
        if not match or len(match[2]) > _LONGEST_NAME or not (match[3] or match[4]):
            raise InputError(
                f"no address of an artifact: {url[:200]!r}",
                hint="it is oci://host/repository@sha256: and 64 lower-case hexadecimal digits, or"
                " oci://host/repository:tag",
            )
        return cls(match[1], match[2], Digest(match[4]) if match[4] else None, match[3] or "")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.host}/{self.repository}{tag}{digest}"

    def at(self, digest: Digest) -> "RegistryReference":
        """The same, pinned to that digest."""
        return msgspec.structs.replace(self, digest=digest)

    @property
    def manifest(self) -> str:
        """Where the registry has the manifest of this digest."""
        return f"oci://{self.host}/v2/{self.repository}/manifests/{self.digest}"

    @property
    def tagged(self) -> str:
        """Where the registry has the manifest that the tag names now."""
        return f"oci://{self.host}/v2/{self.repository}/manifests/{self.tag}"

    def blob(self, digest: Digest) -> str:
        """Where the registry has a blob of this repository."""
        return f"oci://{self.host}/v2/{self.repository}/blobs/{digest}"


class RegistryFile(msgspec.Struct, frozen=True):
    """One file in a registry: the reference by digest that leads to it, and its own facts."""

    reference: RegistryReference
    sha256: Digest
    size: int


class _Layer(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
    media_type: str = ""
    annotations: dict[str, str] = {}

    def is_called(self, name: str) -> bool:
        """Whether its file has that name, in whatever folder."""
        paths = (self.annotations.get(key, "") for key in (TITLE, FILEPATH))
        return name in map(posixpath.basename, paths)


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[_Layer, ...]


class Registries:
    """Finds artifacts. What a tag names is asked once, so that all who name it get the same."""

    def __init__(self, web: RegistryWeb) -> None:
        self._web = web
        self._tagged: dict[str, bytes] = {}

    def current(self, reference: RegistryReference) -> Digest:
        """The digest of what the tag names now; raises EnvironmentFailureError (fetch-failed)."""
        return Digest.of(self._read_tagged(reference))

    def find(self, name: str, reference: RegistryReference, sha256: Digest | None) -> RegistryFile:
        """The file that ``reference`` leads to; nothing of it is fetched but its manifest.

        Of several layers it is the one of that ``sha256``; without, the only one that is called
        ``name`` or, by its media type, holds weights. Raises EnvironmentFailureError (fetch-failed,
        content-mismatch), and InputError (spec-invalid) where several could be meant.
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
        layer = _chosen(_layers(data, reference.manifest), name, sha256, reference.manifest)
        return RegistryFile(reference, Digest(layer.digest), layer.size)

    def _blob(
        self, reference: RegistryReference, digest: Digest, sha256: Digest | None
    ) -> RegistryFile:
        size = self._web.size(reference.blob(digest))
        if sha256 not in (None, digest):
            raise EnvironmentFailureError(
                f"it is a file of that digest, and {sha256} is wanted",
                where=str(reference),
                code=Code.CONTENT_MISMATCH,
            )
        return RegistryFile(reference, digest, size)

    def _read_tagged(self, reference: RegistryReference) -> bytes:
        url = reference.tagged
        if url not in self._tagged:
            self._tagged[url] = self._web.read(url, limit=_LARGEST_MANIFEST)
        return self._tagged[url]


def artifact_request(
    name: str, url: str, digest: Digest, size: int, web: RegistryWeb
) -> FileRequest:
    """How to get the file of that digest and size from ``url``; ``name`` is for messages.

    An ``oci:`` address of other content than the file is that of a manifest: it is fetched, and
    must list the file. Raises InputError (spec-invalid) at an address of another form,
    EnvironmentFailureError (fetch-failed, content-mismatch) at a manifest that can't be had or
    lists no such file.
    """
    if not url.startswith("oci:"):
        _check_address(url)
        return FileRequest(name=name, urls=(url,), digest=digest, size=size)
    reference = RegistryReference.parse(url)
    if reference.digest is None:
        raise InputError(f"a tag names no certain file: {url}", hint="run `mpbuild lock`")
    if reference.digest != digest:
        try:
            _check_listed(reference, digest, size, web)
        except EnvironmentFailureError as error:
            raise error.within(name) from error
    return FileRequest(name=name, urls=(reference.blob(digest),), digest=digest, size=size)


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


def _check_listed(
    reference: RegistryReference, digest: Digest, size: int, web: RegistryWeb
) -> None:
    where = reference.manifest
    layers = _layers(_read_manifest(reference, web), where)
    if (digest, size) not in [(layer.digest, layer.size) for layer in layers]:
        raise EnvironmentFailureError(
            f"it lists no layer {digest} of {size} bytes",
            where=where,
            code=Code.CONTENT_MISMATCH,
            hint="sha256 and size are those of the file, the digest in the address that of the "
            "file or of a manifest that lists it",
        )


def _read_manifest(reference: RegistryReference, web: RegistryWeb) -> bytes:
    where = reference.manifest
    data = web.read(where, limit=_LARGEST_MANIFEST)
    if Digest.of(data) != reference.digest:
        raise EnvironmentFailureError(
            f"its digest is {Digest.of(data)} and must be {reference.digest}",
            where=where,
            code=Code.CONTENT_MISMATCH,
            hint="the registry gives another manifest than the one that was named; it is not used",
        )
    return data


def _layers(data: bytes, where: str) -> tuple[_Layer, ...]:
    try:
        return typed(canonical.decode(data), _Manifest).layers
    except InputError as error:
        raise EnvironmentFailureError(
            f"it is no image manifest: {error.findings[0].message}",
            where=where,
            hint="an index of several is none: name one of them by its digest",
            code=Code.CONTENT_MISMATCH,
        ) from error


def _chosen(layers: Sequence[_Layer], name: str, sha256: Digest | None, where: str) -> _Layer:
    if sha256 is not None:
        layers = [layer for layer in layers if layer.digest == sha256]
        if not layers:
            message = f"it lists no layer {sha256}"
            raise EnvironmentFailureError(message, where=where, code=Code.CONTENT_MISMATCH)
    called = [layer for layer in layers if layer.is_called(name)]
    weights = [layer for layer in layers if layer.media_type == Role.WEIGHTS]
    for among in (layers, called, weights):
        if len({layer.digest for layer in among}) == 1:
            return among[0]
    digests = ", ".join(layer.digest for layer in layers[:_MOST_NAMED])
    raise InputError(
        f"it lists {len(layers)} layers, and none of them alone is called {name} or holds weights",
        where=where,
        hint=f"write the sha256 of the one that is meant beside the url: {digests}",
    )
