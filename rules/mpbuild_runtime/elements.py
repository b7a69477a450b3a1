"""The elements of a tensor: JSON values to a NumPy array and back.

The datatypes are those of the Open Inference Protocol v2 ("Tensor Data Types"). JSON has no type
for bytes: an element of a BYTES tensor is a JSON string that stands for its UTF-8 bytes, and
becomes ``bytes`` in an array of dtype object.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpbuild_runtime.contract import Field

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}

# By NumPy's one-letter kind: which Python types json.loads may have given, and their JSON name.
_ACCEPTED: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "a boolean"),
    "u": (frozenset({int}), "an integer"),
    "i": (frozenset({int}), "an integer"),
    "f": (frozenset({int, float}), "a number"),
    "O": (frozenset({str}), "a string"),
}
_JSON_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a fraction",
    str: "a string",
    list: "a list",
    dict: "an object",
}


class ElementError(ValueError):
    """One element is wrong: its row-major index, and what is wrong with it."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(f"element {index} {what}")
        self.what = what


def json_name(value: object) -> str:
    """What JSON calls such a value: ``a string``, ``an object``."""
    return _JSON_NAMES[type(value)]


def to_array(values: list[Any], datatype: str) -> Array:
    """A flat array of JSON values; raise ElementError at the first that doesn't fit the type.

    Booleans are no numbers, and 1.0 is no integer. A number beyond the type's range is refused; a
    fraction finer than the type is rounded to the nearest, as the protocol has it.
    """
    dtype = DTYPES[datatype]
    accepted, expected = _ACCEPTED[dtype.kind]
    if not accepted.issuperset(map(type, values)):
        index = next(i for i, value in enumerate(values) if type(value) not in accepted)
        raise ElementError(index, f"is {json_name(values[index])}, not {expected}")
    if dtype.kind == "f":
        return _floats(values, datatype)
    if dtype.kind == "O":
        return _texts(values)
    if dtype.kind in "ui":
        _check_range(values, datatype)
    return np.array(values, dtype=dtype)


def check_finite(array: Array) -> None:
    """Raise ElementError at the first element that is NaN or infinite."""
    if array.dtype.kind == "f":
        _refuse(array, ~np.isfinite(array), "which JSON can't hold")


def check_bounds(array: Array, field: Field) -> None:
    """Raise ElementError at the first element below the minimum or above the maximum.

    NumPy rounds a bound to the array's type, as the elements were: 0.1 is not above 0.1.
    """
    with np.errstate(over="ignore"):
        if field.minimum is not None:
            _refuse(array, array < field.minimum, f"below the minimum {field.minimum}")
        if field.maximum is not None:
            _refuse(array, array > field.maximum, f"above the maximum {field.maximum}")


def to_json(array: Array) -> list[Any]:
    """The elements in row-major order; raise ElementError at bytes that are not UTF-8.

    A float becomes the shortest decimal that its own type reads back: 0.1, not
    0.10000000149011612.
    """
    flat = array.reshape(-1)
    if flat.dtype.kind == "O":
        return [_text(index, value) for index, value in enumerate(flat)]
    if flat.dtype in (np.float16, np.float32):
        return [float(decimal) for decimal in flat.astype(np.str_).tolist()]
    return flat.tolist()


def _floats(values: list[Any], datatype: str) -> Array:
    try:
        wide = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond every float
        wide = np.array([_float(value) for value in values], dtype=np.float64)
    with np.errstate(over="ignore"):
        array = wide.astype(DTYPES[datatype])
    outside = np.flatnonzero(~np.isfinite(array))
    if outside.size:
        raise ElementError(int(outside[0]), f"is outside the range of {datatype}")
    return array


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _check_range(values: list[int], datatype: str) -> None:
    limits = np.iinfo(DTYPES[datatype])
    if values and not limits.min <= min(values) <= max(values) <= limits.max:
        index = next(i for i, v in enumerate(values) if not limits.min <= v <= limits.max)
        raise ElementError(index, f"is outside the range of {datatype}")


def _texts(values: list[str]) -> Array:
    array = np.empty(len(values), dtype=np.object_)
    for index, value in enumerate(values):
        try:
            array[index] = value.encode()
        except UnicodeEncodeError as error:
            raise ElementError(index, "is not Unicode text") from error
    return array


def _text(index: int, value: object) -> str:
    if not isinstance(value, bytes):
        raise ElementError(index, f"is of type {type(value).__name__}, not bytes")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ElementError(index, "is not UTF-8, which JSON can't hold") from error


def _refuse(array: Array, wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise ElementError(index, f"is {array.reshape(-1)[index]}, {why}")
