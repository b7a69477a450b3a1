"""One request through the model: the part of ``mpbuild-run`` that the model shares a process with.

The environment says where: ``MPBUILD_MODEL_ROOT`` (default ``/opt/model``) holds ``spec.json`` and
``weights/<name>``; ``MPBUILD_ACCELERATOR`` is the accelerator of the image.
"""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, BinaryIO

from mpbuild_runtime import contract, request, response
from mpbuild_runtime.errors import ModelError, RequestError
from mpbuild_runtime.interface import Model

REQUEST_LIMIT = 64 << 20


def respond(source: BinaryIO, environ: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """The exit code, and the infer response or ``{"error": …}``, to the one request in ``source``.

    A model that fails leaves its traceback on stderr.
    """
    try:
        return 0, _answer(source, environ)
    except RequestError as error:
        return 2, {"error": str(error)}
    except ModelError as error:
        return 1, {"error": str(error)}


def _answer(source: BinaryIO, environ: Mapping[str, str]) -> dict[str, Any]:
    root = Path(environ.get("MPBUILD_MODEL_ROOT", "/opt/model"))
    if "MPBUILD_ACCELERATOR" not in environ:
        raise ModelError("MPBUILD_ACCELERATOR is not set; the image sets it")
    promised = contract.read(root / "spec.json")
    asked = request.decode(_read(source), promised)
    with _blaming("loading the model"):
        model = _load(promised, root, environ["MPBUILD_ACCELERATOR"])
    with _blaming("predict"):
        outputs = model.predict(asked.inputs, asked.parameters)
    return response.encode(outputs, asked, promised)


def _read(source: BinaryIO) -> bytes:
    data = source.read(REQUEST_LIMIT + 1)
    if len(data) > REQUEST_LIMIT:
        raise RequestError(f"request: larger than {REQUEST_LIMIT >> 20} MiB")
    return data


def _load(promised: contract.Contract, root: Path, accelerator: str) -> Model:
    weights = {name: root / "weights" / name for name in promised.weights}
    model: Model = resolve_name(promised.entry_point)(weights, accelerator)
    return model


@contextmanager
def _blaming(stage: str) -> Iterator[None]:
    """Turn whatever the model raises, even SystemExit, into a ModelError."""
    try:
        yield
    except BaseException as error:
        traceback.print_exc()
        raise ModelError(f"{stage} failed: {type(error).__name__}: {error}") from error
