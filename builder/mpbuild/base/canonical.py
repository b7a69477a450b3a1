"""Canonical JSON (RFC 8785) out, strict JSON in: one value, one text."""

import json
from typing import Any, NoReturn

import rfc8785

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError


def encode(value: Any) -> bytes:
    """The one canonical text of a JSON value; raise InputError where it has none."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InputError(f"no canonical JSON: {error}") from error


def digest(value: Any) -> Digest:
    """The digest of the canonical text of ``value``."""
    return Digest.of(encode(value))


def decode(data: bytes) -> Any:
    """Read JSON, refusing what readers disagree about: doubled keys, NaN, a byte order mark."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", code="content-mismatch") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        doubled = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {doubled!r} stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
