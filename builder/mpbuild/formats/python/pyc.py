"""Bytecode files: their names (PEP 3147) and the headers of hash-based ones (PEP 552)."""

from collections.abc import Mapping

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError

CACHE = "__pycache__"

_HEADER = 16
_UNCHECKED = (0b01).to_bytes(4, "little")
# Of every interpreter that a base has; releases of one minor version share it (importlib).
_MAGIC: Mapping[str, bytes] = {
    "3.11": (3495).to_bytes(2, "little") + b"\r\n",
    "3.13": (3571).to_bytes(2, "little") + b"\r\n",
}


class Bytecode:
    """What bytecode of one interpreter, such as ``"3.11"``, looks like."""

    def __init__(self, python: str) -> None:
        if python not in _MAGIC:
            raise InputError(
                f"the bytecode of Python {python!r:.20} is not known",
                code=Code.NOT_SUPPORTED_YET,
                hint=f"known is that of {', '.join(_MAGIC)}",
            )
        self.suffix = f".cpython-{python.replace('.', '')}.pyc"
        self._start = _MAGIC[python] + _UNCHECKED

    def is_unchecked(self, data: Buffer) -> bool:
        """Whether ``data`` is a pyc that the interpreter takes without a look at the source."""
        return len(data) > _HEADER and data[: len(self._start)] == self._start
