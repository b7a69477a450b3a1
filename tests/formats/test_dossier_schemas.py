"""The JSON Schemas of the dossier: closed, described, and each of its own version."""

import jsonschema
import pytest

from mpbuild.formats.dossier import encoding


def objects(schema):
    """Each schema of an object inside ``schema``."""
    return [part for part in schema["$defs"].values() if part.get("type") == "object"]


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
def test_it_is_a_json_schema(name):
    schema = encoding.json_schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"dossier/{name}.json"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
def test_every_key_has_a_description_and_every_object_is_closed(name):
    parts = objects(encoding.json_schema(name))
    assert parts
    for part in parts:
        assert part["additionalProperties"] is False
        assert part["description"].strip()
        for key, value in part["properties"].items():
            assert value["description"].strip(), key


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
def test_a_document_says_which_schema_it_has(name):
    schema = encoding.json_schema(name)
    document = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert document["properties"]["schema"]["enum"] == [f"mpbuild.dossier.{name}/1"]
    assert "schema" in document["required"]


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
@pytest.mark.parametrize("wrong", [{}, [], {"schema": "mpbuild.dossier.model/2"}, {"schema": 1}])
def test_what_is_no_document_is_refused(name, wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(encoding.json_schema(name)).validate(wrong)
