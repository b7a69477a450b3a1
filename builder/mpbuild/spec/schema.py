"""The formats as JSON Schema (2020-12), made from the declarations that the reader follows."""

from mpbuild.spec.kinds import Schema
from mpbuild.spec.model import Model
from mpbuild.spec.table_reader import NestedTable
from mpbuild.spec.tables import Table
from mpbuild.spec.workspace import Workspace

_FORMATS: dict[str, tuple[type[Table], str]] = {
    "model": (Model, "model.toml"),
    "workspace": (Workspace, "mpbuild.toml"),
}


def json_schema(name: str) -> Schema:
    """The schema of one format.

    Closed to unknown keys, with a description for each known one. What lies between keys (names
    that must exist, bounds in order, paths that leave the workspace) no schema can say.
    """
    table, title = _FORMATS[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **NestedTable(table).schema(),
    }
