"""The entry point: answers ``--version`` at once and leaves the rest to the command's module."""

import os
import sys
from typing import NoReturn

import mpbuild


def main() -> NoReturn:
    """Run the command line of this process and exit as docs/cli.md says."""
    words = sys.argv[1:]
    if words == ["--version"]:
        print(f"mpbuild {mpbuild.__version__}")  # noqa: T201 - before anything is imported
        raise SystemExit(0)
    from mpbuild.cli.root import run

    code = run(words)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of an interrupted build are not waited for: what they run dies with this process.
    os._exit(code)
