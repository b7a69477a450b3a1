"""The entry point: answers ``--version`` at once and leaves the rest to the command's module."""

import gc
import os
import sys
from typing import NoReturn

import mpbuild


def main() -> NoReturn:
    """Run the command line of this process and exit as docs/cli.md says."""
    # Start-up makes many objects that stay: to look for cycles among them takes a twentieth of it.
    gc.set_threshold(100_000)
    try:
        code = _answer(sys.argv[1:])
    except OSError:
        code = 3  # standard output is full, or its reader is gone: there is nothing else to say
    except KeyboardInterrupt:
        code = 130
    # Threads of an interrupted build are not waited for: what they run dies with this process.
    # Nor is anything flushed again that could not be written.
    os._exit(code)


def _answer(words: list[str]) -> int:
    _open_closed_streams()
    if words == ["--version"]:
        print(f"mpbuild {mpbuild.__version__}", flush=True)  # noqa: T201 - before any import
        return 0
    from mpbuild.cli.root import run

    return run(words)


def _open_closed_streams() -> None:
    """Give what was started without standard streams empty ones.

    Otherwise the next file to be opened would get their numbers, and be written to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
