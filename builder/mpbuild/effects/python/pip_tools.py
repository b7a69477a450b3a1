"""Runs pip-compile of pip-tools as a second resolver for versions.

It resolves for the interpreter that runs it, which must therefore be the lock's Python. It does not
report hashes: without a JSON API, it would download the files of all platforms for them.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, InputError, MpbuildError
from mpbuild.effects.python import interpreters, pip
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.uv import Uv


def resolve(
    requirements: Sequence[str],
    python: str,
    view: IndexView,
    uv: Uv,
    environ: Mapping[str, str],
    *,
    constraints: Sequence[str] = (),
) -> dict[str, str]:
    """Returns the versions of all packages for ``requirements`` on ``python`` ("3.11"), by name.

    Raises the errors of ``pip.resolve``, and InputError (lock-unchecked) if this machine lacks that
    Python.
    """
    if not requirements:
        return {}
    interpreter = interpreters.find(python, uv.binary, environ)
    if interpreter is None:
        raise InputError(
            f"pip-tools could not run: it needs the lock's Python {python}, which is not here",
            code=Code.LOCK_UNCHECKED,
            hint=f"install Python {python} with python{python} on PATH, or check elsewhere",
        )
    with tempfile.TemporaryDirectory(prefix="mpbuild-pip-tools-") as folder:
        cwd = Path(folder)
        (cwd / "wanted.in").write_text("\n".join(requirements), "utf-8")
        (cwd / "constraints.txt").write_text("\n".join(constraints), "utf-8")
        done = pip.run(
            *("piptools", _words()),
            python=python,
            view=view,
            environ=environ,
            cwd=cwd,
            interpreter=interpreter,
        )
        pip.refuse("pip-tools", done)
        return _parse((cwd / "found.txt").read_text("utf-8"))


def _words() -> list[str]:
    words = (
        "compile --no-config --no-color --no-header --no-annotate --no-emit-options"
        " --strip-extras --allow-unsafe --resolver backtracking --cache-dir cache"
        " -c constraints.txt -o found.txt wanted.in"
    )
    return [*words.split(), "--pip-args", "--only-binary=:all: --use-feature=fast-deps"]


def _parse(text: str) -> dict[str, str]:
    try:
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        pins = [Requirement(line) for line in lines if line]
        return {canonicalize_name(pin.name): _version(pin) for pin in pins}
    except (ValueError, MpbuildError) as error:
        raise EnvironmentFailureError(f"pip-tools wrote malformed output: {error}") from error


def _version(pin: Requirement) -> str:
    (only,) = pin.specifier
    return str(Version(only.version))
