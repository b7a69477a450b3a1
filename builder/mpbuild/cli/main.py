"""The entry point: answers ``--version`` itself and loads the command line for the rest."""

import gc
import os
import sys
from typing import NoReturn

import mpbuild


def main() -> NoReturn:
    """Runs this process's command line and exits with the code that docs/cli.md documents."""
    # Start-up makes many objects that live on; searching them for cycles would take 5 % of it.
    gc.set_threshold(100_000)
    try:
        code = _answer(sys.argv[1:])
    except OSError:
        code = 3  # standard output is full or closed: nothing more can be reported
    except KeyboardInterrupt:
        code = 130
    # Does not wait for the threads of an interrupted build, whose children die with this process,
    # and does not flush output again that could not be written.
    os._exit(code)


def _answer(words: list[str]) -> int:
    _open_closed_streams()
    if words == ["--version"]:
        print(f"mpbuild {mpbuild.__version__}", flush=True)  # noqa: T201 - before any import
        return 0
    from mpbuild.cli.root import run

    return run(words)


def _open_closed_streams() -> None:
    """Opens standard streams that the process was started without.

    The next opened file would otherwise get their descriptors, and output would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
