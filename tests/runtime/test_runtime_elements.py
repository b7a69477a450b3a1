"""Tensors to JSON and back, for every datatype of the protocol."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild_runtime import elements, request, response
from mpbuild_runtime.contract import Contract, Field, Tensor
from mpbuild_runtime.errors import ModelError

FLOATS = {"FP16": 16, "FP32": 32, "FP64": 64}


def contract_of(tensor: Tensor) -> Contract:
    return Contract(
        name="m",
        version="1.0.0",
        entry_point="a:b",
        weights=(),
        inputs=(tensor,),
        outputs=(tensor,),
        parameters=(),
    )


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    if datatype in FLOATS:
        return st.floats(width=FLOATS[datatype], allow_nan=False, allow_infinity=False)
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text().map(str.encode)
    limits = np.iinfo(elements.DTYPES[datatype])
    return st.integers(int(limits.min), int(limits.max))


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, elements.Array]:
    datatype = draw(st.sampled_from(sorted(elements.DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    flat = np.empty(int(np.prod(shape)), dtype=elements.DTYPES[datatype])
    for index in range(flat.size):
        flat[index] = draw(values_of(datatype))
    return datatype, flat.reshape(shape)


@settings(max_examples=200, deadline=None)
@given(arrays())
def test_what_a_response_writes_a_request_reads_bit_by_bit(
    sample: tuple[str, elements.Array],
) -> None:
    datatype, array = sample
    contract = contract_of(Tensor(name="t", datatype=datatype, shape=(-1,) * array.ndim))
    nothing = request.Request(id=None, inputs={}, parameters={}, outputs=("t",))
    text = json.dumps(response.encode({"t": array}, nothing, contract), allow_nan=False)
    again = json.dumps({"inputs": json.loads(text)["outputs"]}).encode()
    found = request.decode(again, contract).inputs["t"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    if datatype in FLOATS:
        assert found.tobytes() == array.tobytes()
    else:
        assert found.tolist() == array.tolist()


def nest(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) < 2:
        return flat
    size = math.prod(shape[1:])
    return [nest(flat[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


@settings(max_examples=100, deadline=None)
@given(arrays())
def test_nested_data_reads_as_flat_data_does(sample: tuple[str, elements.Array]) -> None:
    datatype, array = sample
    contract = contract_of(Tensor(name="t", datatype=datatype, shape=(-1,) * array.ndim))
    flat = elements.to_json(array)
    tensor = {"name": "t", "datatype": datatype, "shape": list(array.shape)}
    found = [
        request.decode(json.dumps({"inputs": [tensor | {"data": data}]}).encode(), contract)
        for data in (flat, nest(flat, array.shape))
    ]
    assert found[0].inputs["t"].tolist() == found[1].inputs["t"].tolist() == array.tolist()


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        (np.float32, 0.1, "0.1"),
        (np.float16, 0.1, "0.1"),
        (np.float64, 0.1, "0.1"),
        (np.float32, 1 / 3, "0.33333334"),
        (np.float32, 3.4028235e38, "3.4028235e+38"),
        (np.float32, 1e-45, "1e-45"),
        (np.float32, -0.0, "-0.0"),
        (np.float32, 16777216, "16777216.0"),
    ],
)
def test_a_float_is_written_as_the_shortest_decimal_of_its_own_type(
    dtype: type, value: float, text: str
) -> None:
    assert json.dumps(elements.to_json(np.array([value], dtype=dtype))) == f"[{text}]"


@pytest.mark.parametrize(
    ("datatype", "low", "high"),
    [
        ("UINT8", 0, 255),
        ("UINT64", 0, 2**64 - 1),
        ("INT8", -128, 127),
        ("INT64", -(2**63), 2**63 - 1),
    ],
)
def test_integers_reach_exactly_to_the_ends_of_their_type(
    datatype: str, low: int, high: int
) -> None:
    assert elements.to_array([low, high], datatype).tolist() == [low, high]
    for beyond in (low - 1, high + 1):
        with pytest.raises(elements.ElementError, match=f"^element 1 is outside .* {datatype}$"):
            elements.to_array([low, beyond], datatype)


def test_a_number_is_no_bool_and_a_fraction_no_integer() -> None:
    with pytest.raises(elements.ElementError, match=r"^element 0 is an integer, not a boolean$"):
        elements.to_array([1], "BOOL")
    with pytest.raises(elements.ElementError, match=r"^element 1 is a fraction, not an integer$"):
        elements.to_array([1, 2.0], "INT32")


def test_a_bound_beyond_the_type_bounds_nothing() -> None:
    array = np.array([65504], dtype=np.float16)
    elements.check_bounds(array, Field(name="x", datatype="FP16", minimum=-1e6, maximum=1e6))
    small = np.array([255], dtype=np.uint8)
    elements.check_bounds(small, Field(name="x", datatype="UINT8", minimum=-5, maximum=1000))


OUTPUT = Tensor(name="y", datatype="FP32", shape=(-1, 2), minimum=0, maximum=1)
PAIR = np.zeros((1, 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([PAIR], "outputs: expected a dict, not list"),
        (None, "outputs: expected a dict, not NoneType"),
        ({}, "outputs.y: missing"),
        ({"y": PAIR, "z": PAIR}, "outputs: no output is named 'z'; known: y"),
        ({"y": [[0, 1]]}, "outputs.y: expected an array of dtype float32, not list"),
        ({"y": PAIR.astype(">f4")}, "outputs.y: expected an array of dtype float32, not >f4"),
        ({"y": PAIR[0]}, "outputs.y: expected shape [-1, 2], not [2]"),
        ({"y": np.zeros((1, 3), np.float32)}, "outputs.y: expected shape [-1, 2], not [1, 3]"),
        ({"y": PAIR + np.float32("nan")}, "outputs.y: element 0 is nan, which JSON can't hold"),
        ({"y": PAIR - np.float32("inf")}, "outputs.y: element 0 is -inf, which JSON can't hold"),
        ({"y": PAIR + 2}, "outputs.y: element 0 is 2.0, above the maximum 1"),
        ({"y": PAIR - 1}, "outputs.y: element 0 is -1.0, below the minimum 0"),
        ({"z": 1}, "outputs: no output is named 'z'; known: y; outputs.y: missing"),
    ],
)
def test_a_model_that_breaks_its_io_is_told_where(outputs: object, message: str) -> None:
    nothing = request.Request(id=None, inputs={}, parameters={}, outputs=("y",))
    with pytest.raises(ModelError) as broken:
        response.encode(outputs, nothing, contract_of(OUTPUT))
    assert str(broken.value) == f"the model broke its [io]: {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "outputs.t: element 1 is of type str, not bytes"),
        (b"\xff", "outputs.t: element 1 is not UTF-8, which JSON can't hold"),
    ],
)
def test_bytes_that_json_cannot_hold_are_the_model_s_failure(value: object, message: str) -> None:
    array = np.array([b"", value], dtype=object)
    contract = contract_of(Tensor(name="t", datatype="BYTES", shape=(2,)))
    nothing = request.Request(id=None, inputs={}, parameters={}, outputs=("t",))
    with pytest.raises(ModelError) as broken:
        response.encode({"t": array}, nothing, contract)
    assert str(broken.value) == f"the model broke its [io]: {message}"
