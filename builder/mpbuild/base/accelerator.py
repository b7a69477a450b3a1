"""The accelerators that a package can have variants for."""

from enum import StrEnum


class Accelerator(StrEnum):
    """An accelerator, in the order of a package's images: cpu first, so that engines pick it."""

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
