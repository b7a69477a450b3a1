"""References to content of OCI registries: ``oci://host[:port]/repository`` with tag or digest.

OCI distribution specification 1.1 ("Pulling manifests", "Pulling blobs"). Registries use https,
except on the loopback interface.
"""

import re
from typing import Self

import msgspec

from mpbuild.base import limits
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.registry.authentication import is_local

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"oci://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)"
    rf"/({_PART}(?:/{_PART})*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?"
    r"(?:@(sha256:[0-9a-f]{64}))?"
)


class RegistryReference(msgspec.Struct, frozen=True):
    """Content of a repository by digest, by tag, or by both; then the digest counts."""

    host: str
    repository: str
    digest: Digest | None
    tag: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses a reference; raises InputError (spec-invalid) for any other form."""
        match = _REFERENCE.fullmatch(text)
        if (
            not match
            or len(match[2]) > limits.REGISTRY_NAME_CHARACTERS
            or not (match[3] or match[4])
        ):
            raise InputError(
                f"not a valid registry reference: {text[:200]!r}",
                hint="write oci://host/repository@sha256: and 64 lower-case hexadecimal digits, or"
                " oci://host/repository:tag",
            )
        return cls(match[1], match[2], Digest(match[4]) if match[4] else None, match[3] or "")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.host}/{self.repository}{tag}{digest}"

    def at(self, digest: Digest) -> "RegistryReference":
        """Returns the reference pinned to ``digest``."""
        return msgspec.structs.replace(self, digest=digest)

    @property
    def manifest_url(self) -> str:
        """The URL of the manifest with this digest."""
        return f"{self._endpoint}/manifests/{self.digest}"

    @property
    def tag_url(self) -> str:
        """The URL of the manifest that has the tag now."""
        return f"{self._endpoint}/manifests/{self.tag}"

    def blob_url(self, digest: Digest) -> str:
        """Returns the URL of a blob of this repository."""
        return f"{self._endpoint}/blobs/{digest}"

    @property
    def _endpoint(self) -> str:
        scheme = "http" if is_local(self.host) else "https"
        return f"{scheme}://{self.host}/v2/{self.repository}"
