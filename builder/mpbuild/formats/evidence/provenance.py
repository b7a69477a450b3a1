"""SLSA provenance v1 (slsa.dev/spec/v1.0/provenance), as far as mpbuild uses it."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

BUILD_TYPE = "urn:mpbuild:build:1"


class ResourceDescriptor(msgspec.Struct, frozen=True):
    """A ResourceDescriptor; only name, digests and mpbuild's annotations are used."""

    name: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class ExternalParameters(msgspec.Struct, frozen=True):
    """``externalParameters``: the build request."""

    label: str
    accelerators: tuple[str, ...]


PARAMETERS = frozenset(ExternalParameters.__struct_fields__)


class BuildDefinition(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """``buildDefinition``."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: tuple[ResourceDescriptor, ...] = ()


class Builder(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails.builder``."""

    id: str
    version: dict[str, str] = {}


class RunMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails.metadata``."""

    invocation_id: str = ""
    started_on: str = ""
    finished_on: str = ""


class RunDetails(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails``."""

    builder: Builder
    metadata: RunMetadata = RunMetadata()


class Provenance(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """The predicate of a provenance."""

    build_definition: BuildDefinition
    run_details: RunDetails

    @property
    def hermetic(self) -> bool:
        """Whether the builder claims that the build read only declared inputs."""
        return self.build_definition.internal_parameters.get("hermetic") is True

    @property
    def external(self) -> ExternalParameters:
        """The build request; raises InputError (content-mismatch)."""
        return typed(self.build_definition.external_parameters, ExternalParameters)

    @property
    def resolved(self) -> frozenset[tuple[str, Digest]]:
        """The materials of the package: kind, from mpbuild's annotation, and sha256."""
        return frozenset((kind, digest) for kind, _, digest in self._resources())

    def of_kind(self, kind: str) -> dict[str, Digest]:
        """The materials of one kind (``lock``, ``step``, …), by name."""
        return {name: digest for found, name, digest in self._resources() if found == kind}

    def _resources(self) -> Iterator[tuple[str, str, Digest]]:
        for resource in self.build_definition.resolved_dependencies:
            if "sha256" in resource.digest:
                kind = str(resource.annotations.get("kind", ""))
                yield kind, resource.name, Digest.from_hex(resource.digest["sha256"])


def read_provenance(predicate: Mapping[str, Any]) -> Provenance:
    """Reads the predicate; raises InputError (predicate-malformed)."""
    try:
        found = typed(predicate, Provenance)
        _ = found.resolved
        _ = found.external
    except InputError as error:
        raise InputError(error.findings[0].message[:200], code=Code.PREDICATE_MALFORMED) from error
    return found
