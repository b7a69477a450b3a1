"""One request through the model: the part of ``mpbuild-run`` that the model shares a process with.

The model's folder holds ``spec.json``, ``weights/<name>`` and ``files/<name>``. It is
``MPBUILD_MODEL_ROOT``; else the folder with this package in it, as in a PEX; else that of images.
``MPBUILD_ACCELERATOR`` is the accelerator of the image or PEX. ``MPBUILD_REQUIREMENTS=warn`` runs
the model on a machine that lacks what it requires.
"""

import sys
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
_IN_IMAGES = Path("/opt/model")


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
    root = _model_folder(environ)
    accelerator = environ.get("MPBUILD_ACCELERATOR")
    if accelerator is None:
        raise ModelError("MPBUILD_ACCELERATOR is not set; the image or PEX sets it")
    promised = contract.read(root / "spec.json")
    asked = request.decode(_read(source), promised)
    if requires := promised.requires.get(accelerator):
        _check_machine(accelerator, requires, environ)
    with _blaming("loading the model"):
        model = _load(promised, root, accelerator)
    with _blaming("predict"):
        outputs = model.predict(asked.inputs, asked.parameters)
    return response.encode(outputs, asked, promised)


def _read(source: BinaryIO) -> bytes:
    data = source.read(REQUEST_LIMIT + 1)
    if len(data) > REQUEST_LIMIT:
        raise RequestError(f"request: larger than {REQUEST_LIMIT >> 20} MiB")
    return data


def _model_folder(environ: Mapping[str, str]) -> Path:
    if told := environ.get("MPBUILD_MODEL_ROOT"):
        return Path(told)
    beside = Path(__file__).parents[1]
    return beside if (beside / "spec.json").exists() else _IN_IMAGES


def _check_machine(
    accelerator: str, requires: contract.Requires, environ: Mapping[str, str]
) -> None:
    # Most models require nothing of the machine, and start faster without.
    from mpbuild_runtime import hardware

    unmet = tuple(hardware.unmet(accelerator, requires, hardware.Machine()))
    if not unmet:
        return
    message = f"accelerators.{accelerator}.requires is not met here: {'; '.join(unmet)}"
    if environ.get("MPBUILD_REQUIREMENTS") != "warn":
        raise ModelError(f"{message}. MPBUILD_REQUIREMENTS=warn runs the model all the same")
    sys.stderr.write(f"mpbuild-run: {message}\n")


def _load(promised: contract.Contract, root: Path, accelerator: str) -> Model:
    paths = {name: root / "weights" / name for name in promised.weights}
    paths |= {name: root / "files" / name for name in promised.files}
    model: Model = resolve_name(promised.entry_point)(paths, accelerator)
    return model


@contextmanager
def _blaming(stage: str) -> Iterator[None]:
    """Turn whatever the model raises, even SystemExit, into a ModelError."""
    try:
        yield
    except BaseException as error:
        traceback.print_exc()
        raise ModelError(f"{stage} failed: {type(error).__name__}: {error}") from error
