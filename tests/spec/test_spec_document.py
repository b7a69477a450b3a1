"""The core spec as plain JSON data, as it travels in a package."""

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import canonical
from mpbuild.base.errors import InputError
from mpbuild.spec.model import Model
from mpbuild.spec.read import document, model_from_document
from mpbuild.spec.workspace import Workspace


def test_the_model_survives_the_way_through_canonical_json(
    model_text: str, model: Model, workspace: Workspace
) -> None:
    data = canonical.decode(canonical.encode(document(model_text)))
    assert model_from_document(data, where="spec.json", workspace=workspace) == model
    assert model_from_document(data, where="spec.json", workspace=None) == model


def test_adapters_are_not_part_of_the_core_spec(model_text: str) -> None:
    text = model_text + '[adapters.http]\nuses = "open-inference-http"\n'
    assert document(text) == document(model_text)


def test_dates_are_written_as_rfc_3339() -> None:
    text = "a = 2026-01-02T03:04:05Z\nb = [2026-01-02, { c = 03:04:05 }]"
    assert document(text) == {
        "a": "2026-01-02T03:04:05+00:00",
        "b": ["2026-01-02", {"c": "03:04:05"}],
    }


def test_comments_and_order_make_no_difference(model_text: str) -> None:
    head, mark, tail = model_text.partition("[environment]")
    turned = "# turned\n" + head.partition("\n")[0] + "\n" + mark + tail
    turned += "\n" + head.partition("\n")[2]
    assert canonical.encode(document(turned)) == canonical.encode(document(model_text))


def test_without_a_workspace_only_the_base_goes_unchecked(model_text: str) -> None:
    data = document(model_text.replace("debian-bookworm", "elsewhere"))
    assert model_from_document(data, where="spec.json", workspace=None)
    data["steps"][0]["environment"] = "nowhere"
    with pytest.raises(InputError, match=r"^spec\.json: steps\[0\]\.environment: no environment"):
        model_from_document(data, where="spec.json", workspace=None)


def test_findings_about_a_document_have_the_given_place(
    model_text: str, workspace: Workspace
) -> None:
    data = document(model_text)
    data["core"]["entry_point"] = None
    del data["package"]["name"]
    with pytest.raises(InputError) as caught:
        model_from_document(data, where="opt/model/spec.json", workspace=workspace)
    assert [(f.where, f.message) for f in caught.value.findings] == [
        ("opt/model/spec.json", "missing key package.name"),
        ("opt/model/spec.json", "core.entry_point: expected an entry point, found null"),
    ]


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_document_that_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match="the document: expected a table"):
        model_from_document(data, where="spec.json", workspace=None)


def test_half_a_surrogate_pair_is_no_text(model_text: str) -> None:
    data = document(model_text)
    data["package"]["summary"] = "\ud800"
    data["steps"][0]["command"].append("\udc00")
    data["\ud801"] = 1
    with pytest.raises(InputError) as caught:
        model_from_document(data, where="spec.json", workspace=None)
    assert len(caught.value.findings) == 3
    assert str(caught.value).encode()


def test_a_document_of_dotted_keys_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InputError, match="nested too deeply"):
        document(".".join(["a"] * 2_000) + " = 1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container inside ``value`` with each key or index."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [place for key, item in items for place in [(value, key), *places(item)]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_data_is_read_or_raises_an_input_error(
    data: st.DataObject, model_text: str, workspace: Workspace
) -> None:
    spec = copy.deepcopy(document(model_text))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(spec)))
        container[key] = data.draw(json_values)
        if not places(spec):
            break
    with contextlib.suppress(InputError):
        model_from_document(spec, where="spec.json", workspace=workspace)
