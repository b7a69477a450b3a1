"""Converts structs and named tuples to plain JSON values, and back.

Imports msgspec only when it converts a struct, for a fast start.
"""

from typing import Any, TypeVar

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label

T = TypeVar("T")


def plain(value: Any) -> Any:
    """``value`` as dicts, lists, strings and numbers; structs and named tuples become dicts."""
    if isinstance(value, tuple | list):
        if names := getattr(value, "_fields", None):
            return {name: plain(getattr(value, name)) for name in names}
        return [plain(one) for one in value]
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    import msgspec

    return msgspec.to_builtins(value, enc_hook=_to_text, str_keys=True)


def typed(value: Any, kind: type[T]) -> T:
    """``value`` as a ``kind``; raises InputError (content-mismatch) with the path of the fault."""
    import msgspec

    try:
        return msgspec.convert(value, kind, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise InputError(str(error), code=Code.CONTENT_MISMATCH) from error


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _from_text(kind: type, value: Any) -> Any:
    from mpbuild.base.version import Version

    if kind in (Digest, Label, Version):
        try:
            return kind(value)
        except InputError as error:
            # msgspec adds the path of the fault to a ValueError.
            raise ValueError(error.findings[0].message) from error
    raise TypeError(f"{kind.__name__} has no JSON form")
