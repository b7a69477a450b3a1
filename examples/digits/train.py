"""Train the digit classifier and write it as ONNX: the same bytes every time.

The pictures travel inside the scikit-learn wheel, so the lock pins the data too. A forest compares
and counts: it takes no BLAS, whose last bits differ by processor and thread count.
"""

import argparse
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

# A power of two: each tree votes with 1/64, which float32 adds without rounding, in any order.
TREES = 64
PIXELS_A_SPLIT = 16
HELD_OUT = 5  # every fifth picture
REQUIRED_ACCURACY = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out

    pixels, digits = load_digits(return_X_y=True)
    held_out = np.arange(len(digits)) % HELD_OUT == 0
    forest = RandomForestClassifier(TREES, max_features=PIXELS_A_SPLIT, random_state=0, n_jobs=1)
    forest.fit(pixels[~held_out], digits[~held_out])

    accuracy = forest.score(pixels[held_out], digits[held_out])
    print(f"accuracy {accuracy:.4f} on {held_out.sum()} of {len(digits)} pictures, held out")
    if accuracy < REQUIRED_ACCURACY:
        raise SystemExit(f"the accuracy is below the required {REQUIRED_ACCURACY}")

    model = to_onnx(
        forest,
        initial_types=[("pixels", FloatTensorType([None, pixels.shape[1]]))],
        options={"zipmap": False},
        target_opset=17,
    )
    out.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
