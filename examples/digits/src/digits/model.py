"""The digit classifier, run by ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A model speaks to its caller alone. ONNX Runtime looks for this while it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

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
    """A session that computes all of the graph with ``provider``, or else an error.

    Left to itself, ONNX Runtime would compute on the processor whatever an accelerator can't:
    everything, where there is none.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    if provider != _PROVIDERS["cpu"]:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider == _PROVIDERS["cuda"]:
        # CUDA comes in wheels of its own, where the loader doesn't look.
        onnxruntime.preload_dlls()
    # The fallback here is another: to try again on the processor after a failure.
    return onnxruntime.InferenceSession(
        weights, options, providers=[provider], enable_fallback=False
    )


def _most_probable(probabilities: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The ``count`` highest of each row, the others 0; of equals the lower digit is kept."""
    dropped = np.argsort(-probabilities, axis=1, kind="stable")[:, count:]
    kept = probabilities.copy()
    np.put_along_axis(kept, dropped, 0, axis=1)
    return kept
