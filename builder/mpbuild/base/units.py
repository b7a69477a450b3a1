"""Durations, sizes and processor shares as people write them in a spec."""

import re

from mpbuild.base.errors import InputError

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)", re.ASCII)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MILLICORES = {"m": 1, "": 1000}


def milliseconds(text: str) -> int:
    """``"250ms"``, ``"10m"``, ``"30d"`` as whole milliseconds."""
    return _whole(text, _MILLISECONDS, "a duration", "ms, s, m, h or d")


def size_in_bytes(text: str) -> int:
    """``"512MiB"`` as bytes."""
    return _whole(text, _BYTES, "a size", "KiB, MiB or GiB")


def millicores(text: str) -> int:
    """``"500m"`` or ``"2"`` processors as thousandths of one."""
    return _whole(text, _MILLICORES, "a number of cores", "m or no unit")


def human_size(count: int) -> str:
    """Bytes for people: ``"13.4 MiB"``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _whole(text: str, factors: dict[str, int], what: str, units: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if not match or match.group(2) not in factors:
        raise InputError(f"not {what}: {text[:80]!r}", hint=f"write a number and one of {units}")
    from fractions import Fraction

    value = Fraction(match.group(1)) * factors[match.group(2)]
    if value.denominator != 1:
        raise InputError(f"{text!r} is finer than {what} can be", hint="use a smaller unit")
    return int(value)
