"""A store of its own for each test, and a way to use one from another process."""

import subprocess
import sys
import textwrap

import pytest

from mpbuild.effects.store.store import Store


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def elsewhere(tmp_path):
    """Start a script in a process of its own: ``elsewhere(script, *words, before=command)``.

    The script has ``Store``, ``Digest`` and ``path``, the path of the test's store, and what it
    prints can be read line by line. It ends with the test.
    """
    running = []

    def start(script, *words, before=()):
        head = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "from mpbuild.base.digest import Digest\n"
            "from mpbuild.effects.store.store import Store\n"
            f"path = Path({str(tmp_path / 'store')!r})\n"
        )
        command = [*before, sys.executable, "-c", head + textwrap.dedent(script), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
