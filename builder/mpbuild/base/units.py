"""Durations and sizes, as people write them in a spec."""

import re

from mpbuild.base.errors import InputError

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)", re.ASCII)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def milliseconds(text: str) -> int:
    """A duration such as ``"250ms"``, ``"10m"`` or ``"30d"`` in milliseconds."""
    return _whole(text, _MILLISECONDS, "a duration", "milliseconds")


def size_in_bytes(text: str) -> int:
    """A size such as ``"512MiB"`` in bytes."""
    return _whole(text, _BYTES, "a size", "bytes")


def human_size(count: int) -> str:
    """A size for people, such as ``"13.4 MiB"``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _whole(text: str, factors: dict[str, int], what: str, smallest: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if not match or match.group(2) not in factors:
        *first, last = factors
        units = f"{', '.join(first)} or {last}"
        raise InputError(f"not {what}: {text[:80]!r}", hint=f"write a number and one of {units}")
    from fractions import Fraction

    value = Fraction(match.group(1)) * factors[match.group(2)]
    if value.denominator != 1:
        raise InputError(f"{text!r} is not a whole number of {smallest}", hint="round it")
    return int(value)
