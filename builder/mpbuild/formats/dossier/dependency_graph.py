"""The dependency graph of the dossier: the parts, materials and dependencies of a package.

Relationships are named as in SPDX 3.0 ("RelationshipType"): ``from`` RELATIONSHIP ``to``.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from mpbuild.formats.dossier.documents import DossierPart, Sha256, Size


class NodeKind(StrEnum):
    """The kind of a node."""

    PACKAGE = "package"
    IMAGE = "image"
    PEX = "pex"
    MODEL = "model"
    CODE = "code"
    WEIGHTS = "weights"
    FILE = "file"
    STEP = "step"
    SOURCE = "source"
    OUTPUT = "output"
    ENVIRONMENT = "environment"
    LOCK = "lock"
    WHEEL = "wheel"
    DEBIAN = "debian"
    BASE = "base"
    INTERPRETER = "interpreter"
    DRIVER = "driver"
    HOST_LIBRARY = "host-library"


class Relationship(StrEnum):
    """The relationship of a node to another."""

    CONTAINS = "contains"
    DEPENDS_ON = "dependsOn"
    HAS_DEPENDENCY_MANIFEST = "hasDependencyManifest"
    HAS_INPUT = "hasInput"
    HAS_OUTPUT = "hasOutput"
    HAS_PROVIDED_DEPENDENCY = "hasProvidedDependency"
    USES_TOOL = "usesTool"


class GraphNode(DossierPart, frozen=True, kw_only=True):
    """A node; without a digest if its digest depends on this document."""

    id: Annotated[str, Meta(description="Kind and identity; for locked files, the digest.")]
    kind: Annotated[NodeKind, Meta(description="Its kind.")]
    name: Annotated[str, Meta(description="Its name.")]
    version: Annotated[
        str | UnsetType, Meta(description="Its version; the minimum for what a host provides.")
    ] = UNSET
    digest: Sha256 | UnsetType = UNSET
    size: Size | UnsetType = UNSET


class GraphEdge(DossierPart, frozen=True, order=True, rename={"source": "from", "target": "to"}):
    """A relationship between two nodes."""

    source: Annotated[str, Meta(description="The id of the source node.")]
    relationship: Annotated[Relationship, Meta(description="The relationship.")]
    target: Annotated[str, Meta(description="The id of the target node.")]


class GraphDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.graph/1"
):
    """The parts, materials and dependencies of the package."""

    nodes: Annotated[tuple[GraphNode, ...], Meta(description="All nodes, sorted by id.")]
    edges: Annotated[
        tuple[GraphEdge, ...], Meta(description="All edges, sorted by from, relationship and to.")
    ]
