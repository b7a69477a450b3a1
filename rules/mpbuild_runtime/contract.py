"""What the package promises about its model: ``spec.json``, read once into frozen data."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpbuild_runtime.errors import ModelError
from mpbuild_runtime.interface import Value

_LEAST = re.compile(r">=\s*([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([KMG])iB")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What tensors and parameters share; the bounds are inclusive, None where there is none."""

    name: str
    datatype: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor(Field):
    """An ``[[io.inputs]]`` or ``[[io.outputs]]`` table; -1 in ``shape`` stands for any size."""

    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether an array of ``shape`` is one of those that this tensor may be."""
        return len(shape) == len(self.shape) and all(
            wanted in (-1, size) for size, wanted in zip(shape, self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Field):
    """An ``[[io.parameters]]`` table; one without a default must be in every request."""

    default: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requires:
    """What an accelerator must have; None, or empty, where that doesn't matter.

    ``driver`` and ``compute_capability`` are the lowest version, ``memory`` the fewest bytes of one
    device; the device is one of ``gfx``; the machine supplies all of ``libraries``.
    """

    driver: tuple[int, ...] | None = None
    compute_capability: tuple[int, ...] | None = None
    memory: int | None = None
    gfx: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The parts of the core spec that running the model takes; ``requires`` by accelerator."""

    name: str
    version: str
    entry_point: str
    weights: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: tuple[Parameter, ...]
    files: tuple[str, ...] = ()
    requires: Mapping[str, Requires] = field(default_factory=dict)


def read(path: Path) -> Contract:
    """The contract in a package's ``spec.json``; raise ModelError where it can't be read."""
    try:
        return parse(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a spec: {type(error).__name__}: {error}") from error


def parse(spec: dict[str, Any]) -> Contract:
    """The contract in the data of a spec; keys that running doesn't take are passed over."""
    package, core, io = spec["package"], spec["core"], spec["io"]
    return Contract(
        name=package["name"],
        version=package["version"],
        entry_point=core["entry_point"],
        weights=tuple(weight["name"] for weight in core.get("weights", ())),
        inputs=tuple(_tensor(table) for table in io["inputs"]),
        outputs=tuple(_tensor(table) for table in io["outputs"]),
        parameters=tuple(_parameter(table) for table in io.get("parameters", ())),
        files=tuple(file["name"] for file in core.get("files", ())),
        requires={
            name: _requires(table["requires"])
            for name, table in spec.get("accelerators", {}).items()
            if table.get("requires")
        },
    )


def _tensor(table: dict[str, Any]) -> Tensor:
    return Tensor(
        name=table["name"],
        datatype=table["datatype"],
        shape=tuple(table["shape"]),
        minimum=table.get("minimum"),
        maximum=table.get("maximum"),
    )


def _parameter(table: dict[str, Any]) -> Parameter:
    return Parameter(
        name=table["name"],
        datatype=table["datatype"],
        default=table.get("default"),
        minimum=table.get("minimum"),
        maximum=table.get("maximum"),
    )


def _requires(table: dict[str, Any]) -> Requires:
    """KeyError at an unknown key: what isn't understood can't be checked."""
    return Requires(**{key: _REQUIREMENTS[key](value) for key, value in table.items()})


def _least(text: str) -> tuple[int, ...]:
    match = _LEAST.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no lowest version")
    return tuple(map(int, match[1].split(".")))


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no size")
    return math.ceil(float(match[1]) * _UNITS[match[2]])


_REQUIREMENTS: dict[str, Callable[[Any], Any]] = {
    "driver": _least,
    "compute_capability": _least,
    "memory": _size,
    "gfx": tuple,
    "libraries": tuple,
}
