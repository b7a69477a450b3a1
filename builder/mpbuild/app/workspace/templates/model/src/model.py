"""The model: a straight line from degrees Celsius to degrees Fahrenheit."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Model:
    """Made once, with the files of the weights by name; then asked any number of times."""

    def __init__(self, weights: dict[str, Path], accelerator: str) -> None:
        del accelerator  # NumPy computes on the processor
        self._slope, self._intercept = np.load(weights["line"])

    def predict(
        self, inputs: dict[str, NDArray[np.float32]], parameters: dict[str, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Answer one request; inputs, parameters and answer fit [io] of model.toml."""
        fahrenheit = self._slope * inputs["celsius"] + self._intercept
        return {"fahrenheit": fahrenheit.round(parameters["decimals"]).astype(np.float32)}
