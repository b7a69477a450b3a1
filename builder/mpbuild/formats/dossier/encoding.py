"""The documents of the dossier by name, in canonical JSON, and their JSON Schemas (2020-12)."""

from typing import Any

import msgspec

from mpbuild.base import canonical
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.formats.dossier.dependency_graph import GraphDocument
from mpbuild.formats.dossier.documents import ContractDocument, EnvironmentDocument, ModelDocument

Document = ModelDocument | EnvironmentDocument | ContractDocument | GraphDocument

DOCUMENTS: dict[str, type[Document]] = {
    "contract": ContractDocument,
    "environment": EnvironmentDocument,
    "graph": GraphDocument,
    "model": ModelDocument,
}


def encode(document: Document) -> bytes:
    """The canonical bytes of a document."""
    return canonical.encode(plain(document))


def json_schema(name: str) -> dict[str, Any]:
    """The schema of the document ``name``, closed to unknown keys, each known one described."""
    made = msgspec.json.schema(DOCUMENTS[name], schema_hook=_digest)
    for part in made["$defs"].values():
        for key, value in part.get("properties", {}).items():
            if value.keys() == {"enum"}:
                value["description"] = f"Tells by its {key} which form this has."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"dossier/{name}.json",
        **made,
    }


def _digest(kind: type) -> dict[str, Any]:
    assert kind is Digest, "documents hold no other type of ours"
    return {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
