"""Infer responses of the Open Inference Protocol v2 ("Inference Response JSON Object")."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpbuild_runtime import elements
from mpbuild_runtime.contract import Contract, Tensor
from mpbuild_runtime.errors import ModelError, Problems, shown
from mpbuild_runtime.request import Request


def encode(outputs: object, request: Request, contract: Contract) -> dict[str, Any]:
    """What ``predict`` gave, as a response; data is flat, in row-major order.

    The tensors stand in the order in which the request selects them, else in that of the contract.
    Raise ModelError with every place where the outputs, selected or not, break the contract.
    """
    tensors = _tensors(outputs, contract.outputs)
    identity = {} if request.id is None else {"id": request.id}
    return {
        "model_name": contract.name,
        "model_version": contract.version,
        **identity,
        "outputs": [tensors[name] for name in request.outputs],
    }


def _tensors(outputs: object, declared: Sequence[Tensor]) -> dict[str, dict[str, Any]]:
    opening = "the model broke its [io]: "
    if not isinstance(outputs, Mapping):
        raise ModelError(f"{opening}outputs: expected a dict, not {type(outputs).__name__}")
    problems = Problems()
    known = {tensor.name: tensor for tensor in declared}
    for name in outputs:
        if name not in known:
            what = f"no output is named {shown(name)}; known: {', '.join(known)}"
            problems.add("outputs", what)
    answered = {}
    for name, tensor in known.items():
        try:
            answered[name] = _tensor(outputs.get(name), tensor)
        except ValueError as error:
            problems.add(f"outputs.{name}", str(error))
    problems.refuse(ModelError, opening)
    return answered


def _tensor(array: object, tensor: Tensor) -> dict[str, Any]:
    if array is None:
        raise ValueError("missing")
    dtype = elements.DTYPES[tensor.datatype]
    found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
    if not isinstance(array, np.ndarray) or found != dtype:
        raise ValueError(f"expected an array of dtype {dtype}, not {found}")
    if not tensor.fits(array.shape):
        raise ValueError(f"expected shape {list(tensor.shape)}, not {list(array.shape)}")
    elements.check_finite(array)
    elements.check_bounds(array, tensor)
    return {
        "name": tensor.name,
        "shape": list(array.shape),
        "datatype": tensor.datatype,
        "data": elements.to_json(array),
    }
