"""The toolchain: the locked environment that mpbuild's own actions run in.

Its locks are part of mpbuild: its wheel has them, and a checkout keeps them in
``lockfiles/toolchain``, where ``make lock-toolchain`` renews them.
"""

import os
from pathlib import Path

from mpbuild.app.lock.lock_files import LockEnvironment, debian_inputs, read_debian, read_python
from mpbuild.app.workspace.workspace import read_text
from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.pex import PYTHON
from mpbuild.effects.installation import find_installation
from mpbuild.effects.workspace.documents import FreshDocuments
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.locks.python_inputs import inputs
from mpbuild.locks.toolchain import BASE, NAME, REQUIREMENTS, Toolchain


def read_toolchain(folder: Path) -> Toolchain:
    """Reads the toolchain's locks in ``folder``.

    Raises EnvironmentFailureError (lock-missing) without them.
    """
    place = environment(folder)
    python_file, debian_file = place.python_file.name, place.debian_file.name
    texts = {name: _read(folder, name) for name in (python_file, debian_file)}
    locks = EnvironmentLocks(
        pylock.read(texts[python_file], file=python_file),
        deblock.read(texts[debian_file], file=debian_file),
    )
    return Toolchain(locks, {name: text.encode() for name, text in texts.items()})


def _read(folder: Path, name: str) -> str:
    try:
        return read_text(FreshDocuments(folder), name, code=Code.LOCK_MALFORMED)
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise EnvironmentFailureError(
            "the locks of mpbuild's own toolchain are missing",
            where=str(folder),
            hint="reinstall mpbuild: they are part of it",
            code=Code.LOCK_MISSING,
        ) from error


def renew() -> None:
    """Resolves the locks again and writes them to the folder of the current ones."""
    from mpbuild.app.lock.debian_archives import DebianArchives
    from mpbuild.effects.http.client import http_client
    from mpbuild.effects.python.index_views import IndexView
    from mpbuild.effects.python.indexes import find_index
    from mpbuild.effects.python.uv import Uv
    from mpbuild.resolve import python_lock

    place, web = environment(find_installation().toolchain), http_client(os.environ)
    previous = read_python(place)
    index = find_index(os.environ)
    resolved = python_lock.lock(
        place.python,
        environment=NAME,
        view=IndexView.of(index),
        uv=Uv.find(os.environ),
        web=web,
        known={package.name: package for package in previous.packages} if previous else {},
    )
    before = read_debian(place)
    debian_lock = DebianArchives(web).lock(
        [place],
        {NAME: before} if before else {},
        fresh={package.name for package in before.packages} if before else (),
    )[NAME]
    place.folder.mkdir(parents=True, exist_ok=True)
    place.python_file.write_text(pylock.write(resolved), "utf-8")
    place.debian_file.write_text(deblock.write(debian_lock), "utf-8")


def environment(folder: Path) -> LockEnvironment:
    """The toolchain as an environment to lock, whose locks are in ``folder``."""
    return LockEnvironment(
        name=NAME,
        accelerator=None,
        base=BASE,
        python=inputs(REQUIREMENTS, python=PYTHON, suite=BASE.suite),
        debian=debian_inputs(BASE),
        root=folder,
        folder=folder,
    )
