"""The toolchain: the environment that mpbuild's own actions run in, locked as every other is.

Its locks are part of mpbuild: they come in its wheel, and a checkout keeps them in
``lockfiles/toolchain``, where ``make lock-toolchain`` resolves them anew.
"""

import os
from importlib.resources import files as resource_files
from pathlib import Path

import msgspec

from mpbuild.app.locks import Environment, debian_inputs, read_debian, read_python
from mpbuild.base.errors import WorldError
from mpbuild.derive.pex import PYTHON
from mpbuild.derive.recipe import Locks
from mpbuild.formats import deblock, pylock
from mpbuild.resolve.inputs import inputs
from mpbuild.spec.vocabulary import Suite
from mpbuild.spec.workspace import Base

NAME = "toolchain"
REQUIREMENTS = ("pex==2.105.2",)
# As the base of most models, so that they share its layer.
BASE = Base(
    suite=Suite.BOOKWORM,
    packages=(
        *("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1"),
        *("ca-certificates", "tzdata"),
    ),
)


class Toolchain(msgspec.Struct, frozen=True):
    """The locks of the toolchain, and the bytes of their files by name."""

    locks: Locks
    files: dict[str, bytes]


def read() -> Toolchain:
    """The locks that came with mpbuild; raise WorldError where they didn't."""
    place = environment()
    python_lock, debian_lock = read_python(place), read_debian(place)
    if not python_lock or not debian_lock:
        raise WorldError(
            "the locks of mpbuild's own toolchain are missing",
            where=str(place.folder),
            hint="install mpbuild anew: they come with it",
            code="lock-missing",
        )
    files = (place.python_file, place.debian_file)
    return Toolchain(
        Locks(python_lock, debian_lock), {file.name: file.read_bytes() for file in files}
    )


def renew() -> None:
    """Resolve the locks anew and write them where they were read from."""
    from mpbuild.app.debian_archive import DebianArchives
    from mpbuild.effects.indexes import find_index
    from mpbuild.effects.uv import Uv
    from mpbuild.effects.views import View
    from mpbuild.effects.web import Web
    from mpbuild.resolve import python

    place, web = environment(), Web(os.environ)
    previous = read_python(place)
    index = find_index(os.environ)
    python_lock = python.lock(
        place.python,
        environment=NAME,
        view=View.of(index),
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
    place.python_file.write_text(pylock.write(python_lock), "utf-8")
    place.debian_file.write_text(deblock.write(debian_lock), "utf-8")


def environment() -> Environment:
    """What the toolchain is resolved from, and where its locks are."""
    package = Path(str(resource_files("mpbuild")))
    installed = package / "toolchain"
    folder = installed if installed.is_dir() else package.parents[1] / "lockfiles" / "toolchain"
    return Environment(
        name=NAME,
        accelerator=None,
        base=BASE,
        python=inputs(REQUIREMENTS, python=PYTHON, suite=BASE.suite),
        debian=debian_inputs(BASE),
        root=folder,
        folder=folder,
    )
