"""The graph of the dossier: what a package consists of, is made from and relies on.

Relationships have the names of SPDX 3.0 ("RelationshipType"): ``from`` RELATIONSHIP ``to``.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from mpbuild.formats.dossier.documents import DossierPart, Sha256, Size


class NodeKind(StrEnum):
    """What a node is."""

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
    """How one node stands to another."""

    CONTAINS = "contains"
    DEPENDS_ON = "dependsOn"
    HAS_DEPENDENCY_MANIFEST = "hasDependencyManifest"
    HAS_INPUT = "hasInput"
    HAS_OUTPUT = "hasOutput"
    HAS_PROVIDED_DEPENDENCY = "hasProvidedDependency"
    USES_TOOL = "usesTool"


class GraphNode(DossierPart, frozen=True, kw_only=True):
    """A thing with a name; of what is computed after this document, it says no digest."""

    id: Annotated[
        str, Meta(description="Its kind and what tells it from others: of locked files the digest.")
    ]
    kind: Annotated[NodeKind, Meta(description="What it is.")]
    name: Annotated[str, Meta(description="What people call it.")]
    version: Annotated[
        str | UnsetType, Meta(description="Its version; of what a host provides, the least.")
    ] = UNSET
    digest: Sha256 | UnsetType = UNSET
    size: Size | UnsetType = UNSET


class GraphEdge(DossierPart, frozen=True, order=True, rename={"source": "from", "target": "to"}):
    """A relationship of two nodes."""

    source: Annotated[str, Meta(description="The id of the node that it is said of.")]
    relationship: Annotated[Relationship, Meta(description="How it stands to the other.")]
    target: Annotated[str, Meta(description="The id of the other node.")]


class GraphDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.graph/1"
):
    """What the package consists of, is made from and relies on."""

    nodes: Annotated[tuple[GraphNode, ...], Meta(description="All nodes, by id.")]
    edges: Annotated[
        tuple[GraphEdge, ...], Meta(description="All edges, by from, relationship and to.")
    ]
