"""The JSON Schema and the reader are one declaration, so they accept and refuse the same."""

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.spec.model import Model
from mpbuild.spec.place import Place, Reading
from mpbuild.spec.schema import json_schema
from mpbuild.spec.table_reader import NestedTable, keys
from mpbuild.spec.tables import Table
from mpbuild.spec.workspace import Workspace

FORMATS = {"model": Model, "workspace": Workspace}


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Each schema of a table inside ``schema``."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


@pytest.mark.parametrize("name", FORMATS)
def test_the_schema_is_a_json_schema(name: Any) -> None:
    schema = json_schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", FORMATS)
def test_every_key_has_a_description_and_every_table_is_closed(name: Any) -> None:
    tables = list(objects(json_schema(name)))
    assert len(tables) > 5
    for table in tables:
        assert table["additionalProperties"] is False
        for key, schema in table.get("properties", {}).items():
            assert schema["description"].strip(), key
        for schema in table.get("patternProperties", {}).values():
            assert schema["description"].strip()


def test_keys_that_are_not_built_yet_are_absent() -> None:
    properties = json_schema("model")["properties"]
    assert not set(Model.LATER) & set(properties)
    assert not set(Workspace.LATER) & set(json_schema("workspace")["properties"])


@pytest.mark.parametrize("name", FORMATS)
def test_defaults_in_the_schema_are_good_values(name: Any) -> None:
    for table in objects(json_schema(name)):
        for key, schema in table.get("properties", {}).items():
            if "default" in schema:
                jsonschema.validate(schema["default"], schema)
                assert key not in table["required"]


def declared(table: type[Table]) -> set[type[Table]]:
    inner = {table}
    kinds: list[Any] = [key.kind for key in keys(table)]
    for kind in kinds:
        kinds += [getattr(kind, part) for part in ("item", "value") if hasattr(kind, part)]
        kinds += getattr(kind, "variants", {}).values()
        if isinstance(kind, NestedTable):
            inner |= declared(kind.table)
    return inner


@pytest.mark.parametrize("root", FORMATS.values())
def test_no_key_is_both_built_and_left_for_later(root: type[Table]) -> None:
    for table in declared(root):
        assert not set(table.LATER) & {key.name for key in keys(table)}, table


VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 2**53, -(2**60), 0.5, -3.25, 1e300),
        *("", "a", "A", "a b", "1.2.3", "1.2", "cpu", "cuda", "train", "3.11", "3.12", "FP32"),
        *("bookworm", "10m", "0s", "1.5GiB", "10 m", "..", "../x", "a/../b", "a//b", "/a", "a\\b"),
        *("~", "*", "**", "a**", "a/*/..", ".wh.x", "x/.wh.", "step:a/b", "step:a", "a:B", "a.b:C"),
        *(
            "https://x.example/y",
            "https://u@x.example",
            "f" * 64,
            "x" * 1001,
            "a\tb",
            "a\0b",
            "{out}",
        ),
        *(">=580", ">=7.5", "gfx90a", "liba.so.1", {"gfx": ["gfx90a"]}, {"driver": ">=580"}),
        *([], ["a"], ["a", "a"], [1], [[]], {}, {"a": 1}, {"name": "a"}, {"cpu": {}}, {"a": {}}),
    ]
)


ACCELERATORS = """
[accelerators.cuda]
requires = { driver = ">=580", compute_capability = ">=7.5", memory = "2GiB" }
never_loaded = ["package/plugin.so"]
[accelerators.rocm]
requires = { gfx = ["gfx90a"], libraries = ["libamdhip64.so.7"] }
"""


def containers(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for item in inner for found in containers(item))]


def mutate(draw: Any, spec: Any) -> None:
    container = draw(st.sampled_from(containers(spec)))
    value = copy.deepcopy(draw(VALUES))
    if isinstance(container, list):
        container.append(value)
        return
    known = sorted({key for table in containers(spec) if isinstance(table, dict) for key in table})
    name = draw(st.sampled_from([*container, *container, *known, "unknown", "cuda", "a b"]))
    if name in container and draw(st.booleans()):
        del container[name]
    else:
        container[name] = value


def beyond_the_schema(messages: list[str]) -> bool:
    """Whether all faults are between keys or need a parser, so that a schema can't express them."""
    telling = [
        *(": duplicate ", "is above the m", "is below the m", "has no order", " is not a valid "),
        *(
            "not a requirement",
            "contains a URL",
            "not an SPDX",
            "is not a whole number of",
            "a keyword",
        ),
        *("contains {out}", "leaves the workspace"),
        *("owns no packages", "also owns it", "has all packages that", "not both"),
        *(
            "requires a folder",
            "duplicate link",
            "another entry",
            "excludes security",
            "no snapshot",
        ),
    ]
    return all(any(words in message for words in telling) for message in messages)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_schema_and_reader_agree_on_mutations_of_a_good_spec(
    name: Any, data: st.DataObject, model_text: str, workspace_text: str
) -> None:
    good = {"model": model_text + ACCELERATORS, "workspace": workspace_text}[name]
    spec = tomllib.loads(good)
    for _ in range(data.draw(st.integers(0, 2))):
        mutate(data.draw, spec)
    reading = Reading(folder="a/b/c")
    NestedTable(FORMATS[name]).read(spec, Place(reading))
    messages = [problem.message for problem in reading.problems]
    if jsonschema.Draft202012Validator(json_schema(name)).is_valid(spec):
        assert beyond_the_schema(messages)
    else:
        assert messages
