"""Fit a line to the readings by least squares.

The readings are whole numbers, so the sums are exact, in whatever order a processor adds: the
weights have the same bytes wherever this runs.
"""

import argparse
from pathlib import Path

import numpy as np


def main() -> None:
    """Read --data, write --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    x, y = np.loadtxt(arguments.data, dtype=np.int64, delimiter=",", skiprows=1, unpack=True)
    spread = len(x) * (x @ x) - x.sum() ** 2
    slope = (len(x) * (x @ y) - x.sum() * y.sum()) / spread
    intercept = ((x @ x) * y.sum() - x.sum() * (x @ y)) / spread
    np.save(arguments.out, np.array([slope, intercept]))


if __name__ == "__main__":
    main()
