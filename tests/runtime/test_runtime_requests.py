"""What ``mpbuild-run`` takes for a request, and what it says to the rest."""

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild_runtime import request
from mpbuild_runtime.contract import Contract, Parameter, Tensor
from mpbuild_runtime.errors import RequestError

Document = dict[str, Any]


def contract_of(
    *, inputs: tuple[Tensor, ...] = (), parameters: tuple[Parameter, ...] = ()
) -> Contract:
    return Contract(
        name="n",
        version="1.0.0",
        entry_point="a:b",
        weights=(),
        inputs=inputs,
        outputs=(),
        parameters=parameters,
    )


def decode(document: object, contract: Contract) -> request.Request:
    return request.decode(json.dumps(document).encode(), contract)


def refusal(data: bytes, contract: Contract) -> str:
    with pytest.raises(RequestError) as refused:
        request.decode(data, contract)
    return str(refused.value)


def test_a_good_request_becomes_arrays_of_the_declared_types(
    good_request: Document, toy_contract: Contract
) -> None:
    asked = decode(good_request, toy_contract)
    assert asked.id == "r1"
    assert asked.inputs["x"].dtype == np.float32
    assert asked.inputs["x"].tolist() == [[np.float32(0.1), 2], [3, 4.5]]
    assert asked.inputs["words"].tolist() == [b"a", "é".encode(), b""]
    assert asked.outputs == ("y", "count")


def test_flat_and_nested_data_are_the_same_tensor(
    good_request: Document, toy_contract: Contract
) -> None:
    nested = decode(good_request, toy_contract).inputs["x"]
    good_request["inputs"][0]["data"] = [0.1, 2, 3, 4.5]
    assert np.array_equal(decode(good_request, toy_contract).inputs["x"], nested)


def test_an_empty_batch_is_a_tensor(good_request: Document, toy_contract: Contract) -> None:
    good_request["inputs"][0] |= {"shape": [0, 2], "data": []}
    assert decode(good_request, toy_contract).inputs["x"].shape == (0, 2)


def test_parameters_that_are_not_given_take_their_defaults(
    good_request: Document, toy_contract: Contract
) -> None:
    good_request["parameters"] = {"top": 5, "scale": 0.1}
    parameters = decode(good_request, toy_contract).parameters
    assert parameters == {"top": 5, "scale": 0.1, "label": "none", "exact": False}


def test_a_whole_number_given_for_a_float_parameter_is_a_float(
    good_request: Document, toy_contract: Contract
) -> None:
    assert type(decode(good_request, toy_contract).parameters["scale"]) is float


@pytest.mark.parametrize(
    ("outputs", "selected"),
    [
        ([{"name": "count"}], ("count",)),
        ([{"name": "count"}, {"name": "y", "parameters": {}}], ("count", "y")),
        ([], ("y", "count")),
    ],
)
def test_outputs_are_selected_by_name(
    good_request: Document, toy_contract: Contract, outputs: list[Any], selected: tuple[str, ...]
) -> None:
    good_request["outputs"] = outputs
    assert decode(good_request, toy_contract).outputs == selected


def test_a_bound_is_rounded_as_the_elements_are() -> None:
    bounded = Tensor(name="x", datatype="FP32", shape=(1,), maximum=16.1)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [16.1]}
    asked = decode({"inputs": [tensor]}, contract_of(inputs=(bounded,)))
    assert asked.inputs["x"].item() > 16.1, "rounded up, and still within the bound"


def _input(key: str, value: object, index: int = 0) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["inputs"][index][key] = value

    return change


def _top(key: str, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document[key] = value

    return change


def _without(key: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        del document["inputs"][0][key]

    return change


BAD: list[tuple[Callable[[Document], object], str]] = [
    (_top("id", 7), "id: expected a string, not an integer"),
    (_top("id", None), "id: expected a string, not null"),
    (
        _top("input", []),
        "request: unknown key 'input'; known: id, parameters, inputs, outputs",
    ),
    (lambda d: d.pop("inputs"), "inputs: 'x' is missing; inputs: 'words' is missing"),
    (
        _top("inputs", 1),
        (
            "inputs: expected a list, not an integer; "
            "inputs: 'x' is missing; inputs: 'words' is missing"
        ),
    ),
    (lambda d: d["inputs"].pop(), "inputs: 'words' is missing"),
    (lambda d: d["inputs"].append(None), "inputs[2]: expected an object, not null"),
    (
        lambda d: d["inputs"].append(d["inputs"][0]),
        "inputs[2].name: 'x' stands twice",
    ),
    (
        lambda d: d["inputs"].append(d["inputs"][0] | {"name": "z"}),
        "inputs[2].name: no input is named 'z'; known: x, words",
    ),
    (_without("name"), "inputs[0].name: missing; inputs: 'x' is missing"),
    (_without("data"), "inputs[0].data: missing"),
    (
        _input("name", ["x"]),
        "inputs[0].name: no input is named ['x']; known: x, words; inputs: 'x' is missing",
    ),
    (
        _input("dtype", "FP32"),
        "inputs[0]: unknown key 'dtype'; known: name, shape, datatype, data, parameters",
    ),
    (
        _input("parameters", {"binary_data_size": 16}),
        "inputs[0].parameters: a single tensor takes no parameters",
    ),
    (_input("datatype", "FP64"), "inputs[0].datatype: expected 'FP32', not 'FP64'"),
    (_input("datatype", 32), "inputs[0].datatype: expected 'FP32', not 32"),
    (_input("shape", [4]), "inputs[0].shape: expected [-1, 2], not [4]"),
    (_input("shape", [4, 3]), "inputs[0].shape: expected [-1, 2], not [4, 3]"),
    (_input("shape", [-1, 2]), "inputs[0].shape: expected [-1, 2], not [-1, 2]"),
    (_input("shape", [True, 2]), "inputs[0].shape: expected [-1, 2], not [True, 2]"),
    (_input("shape", [2.0, 2]), "inputs[0].shape: expected [-1, 2], not [2.0, 2]"),
    (_input("shape", 2), "inputs[0].shape: expected [-1, 2], not 2"),
    (
        _input("shape", [1 << 60, 2]),
        "inputs[0].shape: expected [-1, 2], not [1152921504606846976, 2]",
    ),
    (_input("data", "0, 1, 2, 3"), "inputs[0].data: expected a list, not a string"),
    (
        _input("data", [1, 2, 3]),
        "inputs[0].data: expected 4 elements for the shape [2, 2], not 3",
    ),
    (_input("data", [[1, 2], [3]]), "inputs[0].data: not nested as the shape [2, 2] says"),
    (_input("data", [[1, 2], 3]), "inputs[0].data: not nested as the shape [2, 2] says"),
    (
        _input("data", [[[1], [2]], [[3], [4]]]),
        "inputs[0].data: element 0 is a list, not a number",
    ),
    (_input("data", [1, 2, "3", 4]), "inputs[0].data: element 2 is a string, not a number"),
    (_input("data", [1, 2, 3, True]), "inputs[0].data: element 3 is a boolean, not a number"),
    (_input("data", [1, None, 3, 4]), "inputs[0].data: element 1 is null, not a number"),
    (_input("data", [1, 2, 3, 1e39]), "inputs[0].data: element 3 is outside the range of FP32"),
    (
        _input("data", [1, 2, 3, -(10**400)]),
        "inputs[0].data: element 3 is outside the range of FP32",
    ),
    (_input("data", [1, 2, 17.5, 18]), "inputs[0].data: element 2 is 17.5, above the maximum 16.5"),
    (
        _input("data", [[1, -11], [3, 4]]),
        "inputs[0].data: element 1 is -11.0, below the minimum -10",
    ),
    (_input("data", ["a", 1, "b"], 1), "inputs[1].data: element 1 is an integer, not a string"),
    (_input("data", ["a", "\ud800", "b"], 1), "inputs[1].data: element 1 is not Unicode text"),
    (_top("parameters", [3]), "parameters: expected an object, not a list"),
    (
        _top("parameters", {"tpo": 1}),
        "parameters: unknown key 'tpo'; known: top, scale, label, exact",
    ),
    (_top("parameters", {"top": 11}), "parameters.top: is 11, above the maximum 10"),
    (_top("parameters", {"top": 0}), "parameters.top: is 0, below the minimum 1"),
    (_top("parameters", {"top": 1.0}), "parameters.top: is a fraction, not an integer"),
    (_top("parameters", {"top": None}), "parameters.top: is null, not an integer"),
    (_top("parameters", {"top": 1 << 63}), "parameters.top: is outside the range of INT64"),
    (_top("parameters", {"label": 1}), "parameters.label: is an integer, not a string"),
    (_top("parameters", {"exact": 1}), "parameters.exact: is an integer, not a boolean"),
    (_top("outputs", [{"name": "z"}]), "outputs[0].name: no output is named 'z'; known: y, count"),
    (_top("outputs", [{"name": "y"}] * 2), "outputs[1].name: 'y' stands twice"),
    (_top("outputs", "y"), "outputs: expected a list, not a string"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_request_is_told_what_is_wrong_and_where(
    good_request: Document,
    toy_contract: Contract,
    change: Callable[[Document], object],
    message: str,
) -> None:
    document = copy.deepcopy(good_request)
    change(document)
    assert refusal(json.dumps(document).encode(), toy_contract) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "request: not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "request: expected an object, not a list"),
        (b"null", "request: expected an object, not null"),
        (b'{"a": NaN}', "request: not JSON: NaN is not a JSON number"),
        (b'{"a": -Infinity}', "request: not JSON: -Infinity is not a JSON number"),
        (b'{"id": "1", "id": "2"}', "request: not JSON: the key 'id' stands twice"),
        (b"[" * 100_000, "request: nested too deeply"),
        (b'{"a":' * 100_000, "request: nested too deeply"),
    ],
)
def test_what_is_not_one_json_object_is_refused(
    toy_contract: Contract, data: bytes, message: str
) -> None:
    assert refusal(data, toy_contract) == message


@pytest.mark.parametrize("data", [b"\xff{}", b"\xef\xbb\xbf{}", b"{} {}", b"9" * 5000])
def test_text_that_json_readers_disagree_about_is_refused(
    toy_contract: Contract, data: bytes
) -> None:
    assert refusal(data, toy_contract).startswith("request: not JSON: ")


def test_everything_wrong_is_reported_at_once(
    good_request: Document, toy_contract: Contract
) -> None:
    _input("datatype", "FP16")(good_request)
    _input("shape", [2], 1)(good_request)
    _top("parameters", {"top": 99, "exact": "yes"})(good_request)
    assert refusal(json.dumps(good_request).encode(), toy_contract).split("; ") == [
        "inputs[0].datatype: expected 'FP32', not 'FP16'",
        "inputs[1].data: expected 2 elements for the shape [2], not 3",
        "parameters.top: is 99, above the maximum 10",
        "parameters.exact: is a string, not a boolean",
    ]


def test_a_thousand_mistakes_and_long_names_make_a_short_message(
    good_request: Document, toy_contract: Contract
) -> None:
    good_request["inputs"] += [{"name": "n" * 10_000}] * 1000
    message = refusal(json.dumps(good_request).encode(), toy_contract)
    assert message.endswith("; and 980 more")
    assert len(message) < 4000


def test_a_parameter_without_a_default_must_be_given() -> None:
    contract = contract_of(parameters=(Parameter(name="language", datatype="BYTES"),))
    assert refusal(b"{}", contract) == "parameters: 'language' is missing"
    asked = decode({"parameters": {"language": "fr"}}, contract)
    assert asked.parameters == {"language": "fr"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "outputs", "parameters", "name", "shape", "data", "top"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_no_json_value_does_worse_than_be_refused(document: object) -> None:
    contract = contract_of(
        inputs=(Tensor(name="x", datatype="INT8", shape=(-1, 2)),),
        parameters=(Parameter(name="top", datatype="FP64", default=1.0),),
    )
    tensor = {"name": "x", "datatype": "INT8", "shape": [1, 2], "data": document}
    for text in (document, {"inputs": [tensor]}, {"inputs": [tensor | {"shape": document}]}):
        with contextlib.suppress(RequestError):
            request.decode(json.dumps(text).encode(), contract)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_be_refused(data: bytes) -> None:
    with contextlib.suppress(RequestError):
        request.decode(data, contract_of())
