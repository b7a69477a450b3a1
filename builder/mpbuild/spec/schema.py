"""Makes JSON Schemas (2020-12) of the formats from the declarations that the reader uses."""

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
    """Returns the schema of a format.

    It refuses unknown keys and describes each known one. A schema cannot express constraints
    between keys, such as names that must exist, bounds in order, or paths that leave the workspace.
    """
    table, title = _FORMATS[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **NestedTable(table).schema(),
    }
