"""Who is to blame, the request or the model, and all that is wrong in one message."""

import reprlib

_TOLD = 20
_SHORT = reprlib.Repr()
_SHORT.maxstring = 80


def shown(value: object) -> str:
    """A value of a request for a message: short, however long or deep it is."""
    return _SHORT.repr(value)


class RequestError(ValueError):
    """The request is wrong; the message names every place (exit 2)."""


class ModelError(RuntimeError):
    """The model, what holds it, or the machine under it is wrong (exit 1)."""


class Problems:
    """Collects what is wrong, so that one message names all of it, up to the first 20 places."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def add(self, where: str, what: str) -> None:
        """Note ``what`` is wrong with the value at ``where``, such as ``inputs[0].data``."""
        if len(self._told) < _TOLD:
            self._told.append(f"{where}: {what}")
        else:
            self._more += 1

    def refuse(self, kind: type[RequestError | ModelError], opening: str = "") -> None:
        """Raise ``kind`` if anything was noted."""
        if self._told:
            rest = [f"and {self._more} more"] if self._more else []
            raise kind(opening + "; ".join(self._told + rest))
