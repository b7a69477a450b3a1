"""Infer requests of the Open Inference Protocol v2 ("Inference Request JSON Object").

Tensor data may be flat or nested, in row-major order. All that is wrong with a request is told at
once. Refused too is what JSON readers disagree about: doubled keys, NaN, Infinity, a byte order
mark; and what nothing here would heed: unknown keys, and parameters of a single tensor.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn, TypeGuard

from mpbuild_runtime import elements
from mpbuild_runtime.contract import Contract, Parameter, Tensor
from mpbuild_runtime.elements import Array, ElementError, json_name
from mpbuild_runtime.errors import Problems, RequestError, shown
from mpbuild_runtime.interface import Value

_TENSOR_KEYS = ("name", "shape", "datatype", "data")
# No request is long enough for a larger one, unless another dimension is 0.
_LARGEST_DIMENSION = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that fits the contract; ``outputs`` names the tensors to answer with."""

    id: str | None
    inputs: dict[str, Array]
    parameters: dict[str, Value]
    outputs: tuple[str, ...]


def decode(data: bytes, contract: Contract) -> Request:
    """Read an infer request; raise RequestError with every place where it breaks ``contract``."""
    document = _object(data)
    problems = Problems()
    _check_keys(document, ("id", "parameters", "inputs", "outputs"), "request", problems)
    request = Request(
        id=_id(document, problems),
        inputs=_inputs(document, contract.inputs, problems),
        parameters=_parameters(document, contract.parameters, problems),
        outputs=_selection(document, contract.outputs, problems),
    )
    problems.refuse(RequestError)
    return request


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_not_a_number
        )
    except RecursionError as error:
        raise RequestError("request: nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"request: not JSON: {error}") from error
    if type(document) is not dict:
        raise RequestError(f"request: expected an object, not {json_name(document)}")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} stands twice")
        found[key] = value
    return found


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _check_keys(
    table: dict[str, Any], known: Sequence[str], where: str, problems: Problems
) -> None:
    for key in table:
        if key not in known:
            names = ", ".join(known) or "none"
            problems.add(where, f"unknown key {shown(key)}; known: {names}")


def _id(document: dict[str, Any], problems: Problems) -> str | None:
    found = document.get("id", "")
    if not isinstance(found, str):
        problems.add("id", f"expected a string, not {json_name(found)}")
    return document.get("id")


def _entries(
    found: object, key: str, keys: Sequence[str], problems: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of the list that stands at ``key``, each with its place."""
    if type(found) is not list:
        problems.add(key, f"expected a list, not {json_name(found)}")
        return
    for index, entry in enumerate(found):
        where = f"{key}[{index}]"
        if type(entry) is not dict:
            problems.add(where, f"expected an object, not {json_name(entry)}")
            continue
        _check_keys(entry, (*keys, "parameters"), where, problems)
        if entry.get("parameters", {}) != {}:
            problems.add(f"{where}.parameters", "a single tensor takes no parameters")
        yield where, entry


def _named(
    entries: Iterator[tuple[str, dict[str, Any]]],
    kind: str,
    known: Mapping[str, Tensor],
    problems: Problems,
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The entries that name a known tensor for the first time: place, name, entry."""
    seen: set[str] = set()
    for where, entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or name not in known:
            what = f"no {kind} is named {shown(name)}; known: {', '.join(known)}"
            problems.add(f"{where}.name", what if "name" in entry else "missing")
        elif name in seen:
            problems.add(f"{where}.name", f"{name!r} stands twice")
        else:
            seen.add(name)
            yield where, name, entry


def _inputs(
    document: dict[str, Any], declared: Sequence[Tensor], problems: Problems
) -> dict[str, Array]:
    known = {tensor.name: tensor for tensor in declared}
    entries = _entries(document.get("inputs", []), "inputs", _TENSOR_KEYS, problems)
    found = {
        name: _tensor(entry, known[name], where, problems)
        for where, name, entry in _named(entries, "input", known, problems)
    }
    for name in known:
        if name not in found:
            problems.add("inputs", f"{name!r} is missing")
    return {name: array for name, array in found.items() if array is not None}


def _tensor(entry: dict[str, Any], tensor: Tensor, where: str, problems: Problems) -> Array | None:
    """The array of ``entry``; None, and what is wrong noted, where it isn't what was declared."""
    missing = [key for key in _TENSOR_KEYS if key not in entry]
    for key in missing:
        problems.add(f"{where}.{key}", "missing")
    if missing:
        return None
    datatype, shape = entry["datatype"], entry["shape"]
    if datatype != tensor.datatype:
        problems.add(f"{where}.datatype", f"expected {tensor.datatype!r}, not {shown(datatype)}")
    elif not _is_shape(shape) or not tensor.fits(shape):
        problems.add(f"{where}.shape", f"expected {list(tensor.shape)}, not {shown(shape)}")
    else:
        try:
            return _array(entry["data"], shape, tensor)
        except ValueError as error:
            problems.add(f"{where}.data", str(error))
    return None


def _array(data: object, shape: list[int], tensor: Tensor) -> Array:
    array = elements.to_array(_flat(data, shape), tensor.datatype).reshape(shape)
    elements.check_bounds(array, tensor)
    return array


def _is_shape(found: object) -> TypeGuard[list[int]]:
    return type(found) is list and all(
        type(size) is int and 0 <= size <= _LARGEST_DIMENSION for size in found
    )


def _flat(data: object, shape: list[int]) -> list[Any]:
    """The elements of flat or nested data in row-major order."""
    if type(data) is not list:
        raise ValueError(f"expected a list, not {json_name(data)}")
    if not data or type(data[0]) is not list:
        if len(data) != math.prod(shape):
            raise ValueError(
                f"expected {math.prod(shape)} elements for the shape {shape}, not {len(data)}"
            )
        return data
    rows: list[Any] = [data]
    for size in shape:
        if any(type(row) is not list or len(row) != size for row in rows):
            raise ValueError(f"not nested as the shape {shape} says")
        rows = list(chain.from_iterable(rows))
    return rows


def _parameters(
    document: dict[str, Any], declared: Sequence[Parameter], problems: Problems
) -> dict[str, Value]:
    given = document.get("parameters", {})
    if type(given) is not dict:
        problems.add("parameters", f"expected an object, not {json_name(given)}")
        return {}
    _check_keys(given, [parameter.name for parameter in declared], "parameters", problems)
    found: dict[str, Value] = {}
    for parameter in declared:
        if parameter.name not in given and parameter.default is None:
            problems.add("parameters", f"{parameter.name!r} is missing")
            continue
        try:
            found[parameter.name] = _parameter(given, parameter)
        except ElementError as error:
            problems.add(f"parameters.{parameter.name}", error.what)
    return found


def _parameter(given: dict[str, Any], parameter: Parameter) -> Value:
    value: Any = given.get(parameter.name, parameter.default)
    array = elements.to_array([value], parameter.datatype)
    elements.check_bounds(array, parameter)
    # As written, not as rounded to the type: a float parameter is a Python float.
    return float(value) if array.dtype.kind == "f" else value


def _selection(
    document: dict[str, Any], declared: Sequence[Tensor], problems: Problems
) -> tuple[str, ...]:
    """The outputs asked for, in the order asked; all of them where none is named."""
    known = {tensor.name: tensor for tensor in declared}
    entries = _entries(document.get("outputs", []), "outputs", ("name",), problems)
    selected = tuple(name for _, name, _ in _named(entries, "output", known, problems))
    return selected or tuple(known)
