"""The interface that a model's entry point implements."""

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Value = bool | int | float | str


class Model(Protocol):
    """What ``entry_point = "package.module:Class"`` in the ``[core]`` table names.

    ``weights`` maps the name of each ``[[core.weights]]`` and each ``[[core.files]]`` to its file;
    ``accelerator`` is that of the image or PEX: ``cpu``, ``cuda`` or ``rocm``.
    """

    def __init__(self, weights: dict[str, Path], accelerator: str) -> None: ...

    def predict(
        self, inputs: dict[str, NDArray[Any]], parameters: dict[str, Value]
    ) -> dict[str, NDArray[Any]]:
        """Answer one request.

        ``inputs`` holds one array for each ``[[io.inputs]]``, ``parameters`` one value for each
        ``[[io.parameters]]``, defaults filled in; both were checked against ``[io]``. The answer
        holds one array for each ``[[io.outputs]]``, of exactly its dtype.

        A BYTES tensor is an array of dtype object that holds ``bytes``; over JSON these are
        UTF-8. A BYTES parameter is a ``str``.
        """
        ...
