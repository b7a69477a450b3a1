"""Bytecode files: names (PEP 3147) and headers of unchecked hash-based files (PEP 552)."""

from collections.abc import Mapping

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError

CACHE = "__pycache__"

_HEADER = 16
_UNCHECKED = (0b01).to_bytes(4, "little")
# One for each interpreter that a base can have; all releases of a minor version share it.
_MAGIC: Mapping[str, bytes] = {
    "3.11": (3495).to_bytes(2, "little") + b"\r\n",
    "3.13": (3571).to_bytes(2, "little") + b"\r\n",
}


class Bytecode:
    """The bytecode files of one interpreter, such as ``"3.11"``."""

    def __init__(self, python: str) -> None:
        if python not in _MAGIC:
            raise InputError(
                f"unknown bytecode format of Python {python!r:.20}",
                code=Code.NOT_SUPPORTED_YET,
                hint=f"supported versions are {', '.join(_MAGIC)}",
            )
        self.suffix = f".cpython-{python.replace('.', '')}.pyc"
        self._start = _MAGIC[python] + _UNCHECKED

    def is_unchecked(self, data: Buffer) -> bool:
        """Whether ``data`` is a pyc that the interpreter loads without checking the source."""
        return len(data) > _HEADER and data[: len(self._start)] == self._start
