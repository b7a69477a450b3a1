"""Checks values against the element types of the Open Inference Protocol v2."""

import math

from mpbuild.spec.place import Place, shown
from mpbuild.spec.vocabulary import Datatype

Value = bool | int | float | str

_WHOLE = {
    Datatype.UINT8: (0, 2**8 - 1),
    Datatype.UINT16: (0, 2**16 - 1),
    Datatype.UINT32: (0, 2**32 - 1),
    Datatype.UINT64: (0, 2**64 - 1),
    Datatype.INT8: (-(2**7), 2**7 - 1),
    Datatype.INT16: (-(2**15), 2**15 - 1),
    Datatype.INT32: (-(2**31), 2**31 - 1),
    Datatype.INT64: (-(2**63), 2**63 - 1),
}
# Numbers in a spec are far below the greatest values of the other two types.
_FLOATING = {Datatype.FP16: 65504.0, Datatype.FP32: math.inf, Datatype.FP64: math.inf}
_UNORDERED = (Datatype.BOOL, Datatype.BYTES)


def check_bounds(
    datatype: Datatype, minimum: float | None, maximum: float | None, at: Place
) -> None:
    """Reports bounds outside of the type's range, and a minimum above the maximum."""
    for key, bound in (("minimum", minimum), ("maximum", maximum)):
        if bound is not None:
            _check_bound(datatype, bound, at / key)
    if minimum is not None and maximum is not None and minimum > maximum:
        (at / "minimum").wrong(f"{shown(minimum)} is above the maximum, {shown(maximum)}")


def check_default(
    datatype: Datatype, default: Value, minimum: float | None, maximum: float | None, at: Place
) -> None:
    """Reports a default outside of type or bounds."""
    reason = _misfit(datatype, default)
    if reason:
        at.wrong(reason)
    elif isinstance(default, int | float) and datatype not in _UNORDERED:
        if minimum is not None and default < minimum:
            at.wrong(f"{shown(default)} is below the minimum, {shown(minimum)}")
        if maximum is not None and default > maximum:
            at.wrong(f"{shown(default)} is above the maximum, {shown(maximum)}")


def _check_bound(datatype: Datatype, bound: float, at: Place) -> None:
    if datatype in _UNORDERED:
        at.wrong(f"{datatype} values have no order, so bounds don't apply", hint="remove it")
    elif reason := _misfit(datatype, bound):
        at.wrong(reason)


def _misfit(datatype: Datatype, value: Value) -> str:
    """Returns why ``value`` is not of ``datatype``; empty if it is, or the type is invalid."""
    if datatype in _WHOLE:
        fits, what = _is_whole(value, *_WHOLE[datatype]), "an integer in its range"
    elif datatype in _FLOATING:
        fits, what = _is_floating(value, _FLOATING[datatype]), "a number in its range"
    elif datatype == Datatype.BOOL:
        fits, what = isinstance(value, bool), "true or false"
    elif datatype == Datatype.BYTES:
        fits, what = isinstance(value, str), "a string"
    else:
        return ""
    return "" if fits else f"{shown(value)} is not a valid {datatype}: expected {what}"


def _is_whole(value: Value, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_floating(value: Value, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -most <= value <= most
