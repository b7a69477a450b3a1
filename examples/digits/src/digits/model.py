"""The digit classifier, run by ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_PROVIDERS = {"cpu": "CPUExecutionProvider"}


class Model:
    """Ten probabilities for each picture; ``top_k`` says how many of them are told."""

    def __init__(self, weights: dict[str, Path], accelerator: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        self._session = onnxruntime.InferenceSession(
            weights["classifier"], options, providers=[_PROVIDERS[accelerator]]
        )

    def predict(
        self, inputs: dict[str, NDArray[np.float32]], parameters: dict[str, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Answer one request; both arguments fit the ``[io]`` tables of model.toml."""
        (probabilities,) = self._session.run(["probabilities"], {"pixels": inputs["pixels"]})
        return {"probabilities": _most_probable(probabilities, parameters["top_k"])}


def _most_probable(probabilities: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The ``count`` highest of each row, the others 0; of equals the lower digit is kept."""
    dropped = np.argsort(-probabilities, axis=1, kind="stable")[:, count:]
    kept = probabilities.copy()
    np.put_along_axis(kept, dropped, 0, axis=1)
    return kept
