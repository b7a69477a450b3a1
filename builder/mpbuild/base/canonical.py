"""Writes canonical JSON (RFC 8785) and reads JSON strictly, so that a value has one text."""

import json
import math
from typing import Any, NoReturn

import rfc8785

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError


def encode(value: Any) -> bytes:
    """The canonical text of a JSON value; raises InputError for a value without one."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InputError(f"not representable as canonical JSON: {error}") from error


def digest(value: Any) -> Digest:
    """The digest of the canonical text of ``value``."""
    return Digest.of(encode(value))


def decode(data: bytes) -> Any:
    """Reads JSON; raises InputError (content-mismatch) for input that readers disagree about.

    That is duplicate keys, NaN, infinite numbers, lone surrogates and a byte order mark.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_constant=_refuse,
            parse_float=_finite,
        )
        if b"\\u" in data:
            # Only an escape can hold a lone surrogate, which has no UTF-8 form.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", code=Code.CONTENT_MISMATCH) from error
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {key[:80]!r}")
            seen.add(key)
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number out of range: {text[:20]}")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
