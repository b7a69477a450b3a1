"""The accelerators a package may hold variants for."""

from enum import StrEnum


class Accelerator(StrEnum):
    """In the order in which their images stand in a package: cpu first, so that engines pick it."""

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
