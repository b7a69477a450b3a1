"""SLSA provenance v1 (slsa.dev/spec/v1.0/provenance), the part that mpbuild writes and reads."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mpbuild.base.coding import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

BUILD_TYPE = "urn:mpbuild:build:1"
PARAMETERS = frozenset({"label", "accelerators"})


class Resource(msgspec.Struct, frozen=True):
    """A ResourceDescriptor of which the name, the digests and our annotations count."""

    name: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class Definition(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """``buildDefinition``."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: tuple[Resource, ...] = ()


class Builder(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails.builder``."""

    id: str
    version: dict[str, str] = {}


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails.metadata``."""

    invocation_id: str = ""
    started_on: str = ""
    finished_on: str = ""


class RunDetails(msgspec.Struct, frozen=True, rename="camel"):
    """``runDetails``."""

    builder: Builder
    metadata: Metadata = Metadata()


class Provenance(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """The predicate."""

    build_definition: Definition
    run_details: RunDetails

    @property
    def hermetic(self) -> bool:
        """Whether the builder claims that nothing undeclared was read."""
        return self.build_definition.internal_parameters.get("hermetic") is True

    @property
    def digests(self) -> dict[Digest, Resource]:
        """What was resolved, by sha256."""
        return {
            Digest.from_hex(resource.digest["sha256"]): resource
            for resource in self.build_definition.resolved_dependencies
            if "sha256" in resource.digest
        }

    def of_kind(self, kind: str) -> dict[str, Digest]:
        """Leaves of a kind (``lock``, ``step``, …) by name."""
        return {
            resource.name: digest
            for digest, resource in self.digests.items()
            if resource.annotations.get("kind") == kind
        }


def read_provenance(predicate: Mapping[str, Any]) -> Provenance:
    """The predicate; raise InputError (predicate-malformed) where it breaks its schema."""
    try:
        found = typed(predicate, Provenance)
        _ = found.digests
    except InputError as error:
        raise InputError(error.findings[0].message, code="predicate-malformed") from error
    return found
