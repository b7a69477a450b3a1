"""The digit classifier, run by ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "MIGraphXExecutionProvider",
}


class Model:
    """Ten probabilities for each picture; ``top_k`` says how many of them are told."""

    def __init__(self, weights: dict[str, Path], accelerator: str) -> None:
        self._session = _session(weights["classifier"], _PROVIDERS[accelerator])

    def predict(
        self, inputs: dict[str, NDArray[np.float32]], parameters: dict[str, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Answer one request; both arguments fit the ``[io]`` tables of model.toml."""
        (probabilities,) = self._session.run(["probabilities"], {"pixels": inputs["pixels"]})
        return {"probabilities": _most_probable(probabilities, parameters["top_k"])}


def _session(weights: Path, provider: str) -> onnxruntime.InferenceSession:
    """A session with ``provider``; raise RuntimeError where it can't be had.

    ONNX Runtime would fall back to the processor with no more than a line on stderr.
    """
    if provider == _PROVIDERS["cuda"]:
        # CUDA comes in wheels of its own, where the loader doesn't look.
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(weights, options, providers=[provider])
    if provider not in session.get_providers():
        raise RuntimeError(
            f"ONNX Runtime has no {provider} on this machine: check its driver and devices"
        )
    return session


def _most_probable(probabilities: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The ``count`` highest of each row, the others 0; of equals the lower digit is kept."""
    dropped = np.argsort(-probabilities, axis=1, kind="stable")[:, count:]
    kept = probabilities.copy()
    np.put_along_axis(kept, dropped, 0, axis=1)
    return kept
