"""The toolchain: the environment that mpbuild's own actions run in, locked as every other is.

Its locks are part of mpbuild: they come in its wheel, and a checkout keeps them in
``lockfiles/toolchain``, where ``make lock-toolchain`` resolves them anew.
"""

import os
from importlib.resources import files as resource_files
from pathlib import Path

from mpbuild.app.lock.lock_files import LockEnvironment, debian_inputs, read_debian, read_python
from mpbuild.base.codes import Code
from mpbuild.base.errors import WorldError
from mpbuild.derive.image_layers import EnvironmentLocks
from mpbuild.derive.pex import PYTHON
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.locks.python_inputs import inputs
from mpbuild.locks.toolchain import BASE, NAME, REQUIREMENTS, Toolchain


def read() -> Toolchain:
    """The locks that came with mpbuild; raise WorldError where they didn't."""
    place = environment()
    python_lock, debian_lock = read_python(place), read_debian(place)
    if not python_lock or not debian_lock:
        raise WorldError(
            "the locks of mpbuild's own toolchain are missing",
            where=str(place.folder),
            hint="install mpbuild anew: they come with it",
            code=Code.LOCK_MISSING,
        )
    files = (place.python_file, place.debian_file)
    return Toolchain(
        EnvironmentLocks(python_lock, debian_lock), {file.name: file.read_bytes() for file in files}
    )


def renew() -> None:
    """Resolve the locks anew and write them where they were read from."""
    from mpbuild.app.lock.debian_archives import DebianArchives
    from mpbuild.effects.http.client import Web
    from mpbuild.effects.python.index_views import IndexView
    from mpbuild.effects.python.indexes import find_index
    from mpbuild.effects.python.uv import Uv
    from mpbuild.resolve import python_lock

    place, web = environment(), Web(os.environ)
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


def environment() -> LockEnvironment:
    """What the toolchain is resolved from, and where its locks are."""
    package = Path(str(resource_files("mpbuild")))
    installed = package / "toolchain"
    folder = installed if installed.is_dir() else package.parents[1] / "lockfiles" / "toolchain"
    return LockEnvironment(
        name=NAME,
        accelerator=None,
        base=BASE,
        python=inputs(REQUIREMENTS, python=PYTHON, suite=BASE.suite),
        debian=debian_inputs(BASE),
        root=folder,
        folder=folder,
    )
