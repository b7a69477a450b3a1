"""Canonical JSON and JSON Schemas (2020-12) of the dossier's documents."""

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
    """The schema of the document ``name``: every key has a description, others are refused."""
    schema = msgspec.json.schema(DOCUMENTS[name], schema_hook=_digest)
    for part in schema["$defs"].values():
        for key, value in part.get("properties", {}).items():
            if value.keys() == {"enum"}:
                value["description"] = f"Selects the form of this object by its {key}."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"dossier/{name}.json",
        **schema,
    }


def _digest(kind: type) -> dict[str, Any]:
    assert kind is Digest, "documents have no other custom type"
    return {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
