"""The machine that mpbuild runs on."""

import os


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
